"""hf-endpoint-siglip2.md: its requests, its shell and Python examples, and what it shows for them."""

from __future__ import annotations

from typing import Any

HOST = "https://your-endpoint.endpoints.huggingface.cloud"
KEY = "hf_xxxxx"
CATALOG = "https://catalog.example.com/products/"

LABELS = [{"label": "ceramic tile", "score": 0.8234}]
EMBEDDINGS = [{"embedding": [0.0234, -0.0891, 0.1234, -0.0567]}]
SIMILARITY: dict[str, Any] = {"similarity_scores": [[0.8912, 0.2345, 0.1234]], "image_count": 1, "text_count": 3}

# Modes 1 to 4: name -> the request as printed, what its response shows, how many of its `inputs` there are
REQUESTS: dict[str, tuple[str, Any, int]] = {
    "zero_shot": (
        """{
    "inputs": "<image_url_or_base64>",
    "parameters": {
        "candidate_labels": ["label1", "label2", "label3"]
    }
}""",
        LABELS,
        1,
    ),
    "zero_shot_batch": (
        """{
    "inputs": ["<image1_url>", "<image2_url>"],
    "parameters": {
        "candidate_labels": ["label1", "label2", "label3"]
    }
}""",
        [LABELS],
        2,
    ),
    "image_embedding": (
        """{
    "inputs": "<image_url_or_base64>",
    "parameters": {
        "mode": "image_embedding"
    }
}""",
        EMBEDDINGS,
        1,
    ),
    "image_embedding_batch": (
        """{
    "inputs": ["<image1_url>", "<image2_url>", "<image3_url>"],
    "parameters": {
        "mode": "image_embedding"
    }
}""",
        EMBEDDINGS,
        3,
    ),
    "text_embedding": (
        """{
    "inputs": "a photo of ceramic floor tiles",
    "parameters": {
        "mode": "text_embedding"
    }
}""",
        EMBEDDINGS,
        1,
    ),
    "text_embedding_batch": (
        """{
    "inputs": [
        "ceramic tile with matte finish",
        "glossy porcelain tile",
        "natural wood flooring"
    ],
    "parameters": {
        "mode": "text_embedding"
    }
}""",
        EMBEDDINGS,
        3,
    ),
    "similarity": (
        """{
    "inputs": {
        "image": "<image_url_or_base64>",
        "texts": ["description 1", "description 2", "description 3"]
    },
    "parameters": {
        "mode": "similarity"
    }
}""",
        SIMILARITY,
        1,
    ),
    "similarity_images": (
        """{
    "inputs": {
        "images": ["<image1_url>", "<image2_url>"],
        "texts": ["ceramic tile", "wood flooring", "heat pump"]
    },
    "parameters": {
        "mode": "similarity"
    }
}""",
        SIMILARITY,
        2,
    ),
}

# Examples 1 to 4: name -> the command as printed, what it shows
COMMANDS: dict[str, tuple[str, Any]] = {
    "classify_product_image": (
        """curl -X POST "https://your-endpoint.endpoints.huggingface.cloud" \\
  -H "Authorization: Bearer hf_xxxxx" \\
  -H "Content-Type: application/json" \\
  -d '{
    "inputs": "https://catalog.example.com/products/tile-001.jpg",
    "parameters": {
      "candidate_labels": [
        "ceramic floor tile",
        "porcelain wall tile",
        "natural stone slab",
        "mosaic tile sheet",
        "wood laminate plank",
        "vinyl flooring",
        "heat pump outdoor unit",
        "heat pump indoor unit",
        "technical diagram",
        "company logo"
      ]
    }
  }'""",
        LABELS,
    ),
    "build_product_search_index": (
        """curl -X POST "https://your-endpoint.endpoints.huggingface.cloud" \\
  -H "Authorization: Bearer hf_xxxxx" \\
  -H "Content-Type: application/json" \\
  -d '{
    "inputs": [
      "https://catalog.example.com/products/tile-001.jpg",
      "https://catalog.example.com/products/tile-002.jpg",
      "https://catalog.example.com/products/tile-003.jpg"
    ],
    "parameters": {
      "mode": "image_embedding"
    }
  }'""",
        EMBEDDINGS,
    ),
    "embed_product_descriptions": (
        """curl -X POST "https://your-endpoint.endpoints.huggingface.cloud" \\
  -H "Authorization: Bearer hf_xxxxx" \\
  -H "Content-Type: application/json" \\
  -d '{
    "inputs": [
      "matte finish ceramic tile 60x60cm",
      "glossy white porcelain tile",
      "rustic oak wood flooring",
      "inverter heat pump 12kW"
    ],
    "parameters": {
      "mode": "text_embedding"
    }
  }'""",
        EMBEDDINGS,
    ),
    "match_image_to_descriptions": (
        """curl -X POST "https://your-endpoint.endpoints.huggingface.cloud" \\
  -H "Authorization: Bearer hf_xxxxx" \\
  -H "Content-Type: application/json" \\
  -d '{
    "inputs": {
      "image": "https://catalog.example.com/products/unknown-product.jpg",
      "texts": [
        "beige ceramic floor tile with matte finish",
        "white glossy porcelain wall tile",
        "gray natural stone tile with rough texture",
        "colorful mosaic glass tile"
      ]
    },
    "parameters": {
      "mode": "similarity"
    }
  }'""",
        SIMILARITY,
    ),
}

PYTHON = """\
import requests
import base64

API_URL = "https://your-endpoint.endpoints.huggingface.cloud"
HEADERS = {"Authorization": "Bearer hf_xxxxx"}

# Zero-shot classification
def classify_product(image_url: str, labels: list[str]) -> list[dict]:
    response = requests.post(API_URL, headers=HEADERS, json={
        "inputs": image_url,
        "parameters": {"candidate_labels": labels}
    })
    return response.json()

# Get image embedding
def get_image_embedding(image_url: str) -> list[float]:
    response = requests.post(API_URL, headers=HEADERS, json={
        "inputs": image_url,
        "parameters": {"mode": "image_embedding"}
    })
    return response.json()[0]["embedding"]

# Get text embedding
def get_text_embedding(text: str) -> list[float]:
    response = requests.post(API_URL, headers=HEADERS, json={
        "inputs": text,
        "parameters": {"mode": "text_embedding"}
    })
    return response.json()[0]["embedding"]

# Similarity scoring
def get_similarity(image_url: str, texts: list[str]) -> list[float]:
    response = requests.post(API_URL, headers=HEADERS, json={
        "inputs": {"image": image_url, "texts": texts},
        "parameters": {"mode": "similarity"}
    })
    return response.json()["similarity_scores"][0]

# From local file (base64)
def classify_local_image(file_path: str, labels: list[str]) -> list[dict]:
    with open(file_path, "rb") as f:
        image_b64 = base64.b64encode(f.read()).decode()
    response = requests.post(API_URL, headers=HEADERS, json={
        "inputs": image_b64,
        "parameters": {"candidate_labels": labels}
    })
    return response.json()
"""

# Error Responses: the request that meets it, the answer as printed
ERRORS: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "missing required field": (
        {"inputs": "x", "parameters": {"mode": "zero_shot"}},
        {"error": "candidate_labels is required for zero-shot classification"},
    ),
    "invalid image": (
        {"inputs": None, "parameters": {"mode": "image_embedding"}},
        {"error": "Unsupported image input type: <class 'NoneType'>"},
    ),
    "unknown mode": (
        {"inputs": "x", "parameters": {"mode": "invalid_mode"}},
        {"error": "Unknown mode: invalid_mode. Supported: zero_shot, image_embedding, text_embedding, similarity"},
    ),
}
