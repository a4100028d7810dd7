"""hailo-clip.md: its requests, its shell and Python examples, and what it shows for them."""

from __future__ import annotations

from typing import Any

HOST = "http://localhost:5000"
IMAGE = "/9j/4AAQSkZJRg..."  # as abbreviated in the requests
MODEL = "clip-resnet-50x4"

HEALTH = {"status": "healthy", "service": "hailo-clip", "model_loaded": True, "model": MODEL}
CLASSIFIED: dict[str, Any] = {
    "classifications": [{"text": "person wearing red shirt", "score": 0.87, "rank": 1}],
    "inference_time_ms": 145.0,
    "model": MODEL,
}
EMBEDDING: dict[str, Any] = {"embedding": [0.123, -0.456, 0.789], "dimension": 640, "model": MODEL}

# path -> the request as printed, what its response shows
REQUESTS: dict[str, tuple[str, dict[str, Any]]] = {
    "/v1/classify": (
        """{
  "image": "data:image/jpeg;base64,/9j/4AAQSkZJRg...",
  "prompts": [
    "person wearing red shirt",
    "person wearing blue shirt",
    "person on bicycle",
    "person wearing helmet"
  ],
  "top_k": 3,
  "threshold": 0.0
}""",
        CLASSIFIED,
    ),
    "/v1/embed/image": ('{"image": "data:image/jpeg;base64,/9j/4AAQSkZJRg..."}', EMBEDDING),
    "/v1/embed/text": ('{"text": "person wearing red shirt"}', EMBEDDING),
}

# name -> the commands as printed, what they show
COMMANDS: dict[str, tuple[str, dict[str, Any]]] = {
    "classification": (
        """# Prepare image (convert to base64)
IMAGE_B64=$(base64 -w0 < image.jpg)

# Classify
curl -X POST http://localhost:5000/v1/classify \\
  -H "Content-Type: application/json" \\
  -d "{
    \\"image\\": \\"data:image/jpeg;base64,${IMAGE_B64}\\",
    \\"prompts\\": [
      \\"person with smile\\",
      \\"person with frown\\",
      \\"person neutral expression\\"
    ],
    \\"top_k\\": 1
  }" | jq .""",
        CLASSIFIED,
    ),
    "image embedding": (
        """# Image embedding
curl -X POST http://localhost:5000/v1/embed/image \\
  -H "Content-Type: application/json" \\
  -d "{\\"image\\": \\"data:image/jpeg;base64,...\\"}" | jq .""",
        EMBEDDING,
    ),
    "text embedding": (
        """# Text embedding
curl -X POST http://localhost:5000/v1/embed/text \\
  -H "Content-Type: application/json" \\
  -d '{"text": "person wearing red shirt"}' | jq .""",
        EMBEDDING,
    ),
}

PYTHON = """\
import requests
import base64

# Read image and encode
with open("image.jpg", "rb") as f:
    image_b64 = base64.b64encode(f.read()).decode()

# Call API
response = requests.post(
    "http://localhost:5000/v1/classify",
    json={
        "image": f"data:image/jpeg;base64,{image_b64}",
        "prompts": [
            "person with smile",
            "person with frown",
            "person neutral expression"
        ],
        "top_k": 1,
        "threshold": 0.5
    }
)

result = response.json()
print(f"Top match: {result['classifications'][0]}")
print(f"Inference time: {result['inference_time_ms']:.1f}ms")
"""

# Error Handling, 400: the request that meets it, the answer as printed
NO_PROMPTS = {"error": "Missing or invalid 'prompts' array"}
