"""The Vision Models document's requests as it prints them. Hosts, image files and image URLs are changed by the tests."""

# ruff: noqa: E501  # the document's own lines

HOST = "http://localhost:8000"
PICTURE_URL = "https://example.com/image.jpg"
SETUP = """
import base64
import requests

with open("image.jpg", "rb") as f:
    image_base64 = base64.b64encode(f.read()).decode("utf-8")
"""  # what some blocks take over from an earlier one

CURL = {
    "health": r"""
curl http://localhost:8000/health
""",
    "load": r"""
curl -X POST http://localhost:8000/models/load \
  -H "Content-Type: application/json" \
  -d '{
    "model_type": "sam3",
    "device": "cuda"
  }'
""",
}

PYTHON = {
    "segment": r"""
import requests
import base64
from PIL import Image
import io

# Load and encode image
with open("image.jpg", "rb") as f:
    image_base64 = base64.b64encode(f.read()).decode("utf-8")

# Make request
response = requests.post(
    "http://localhost:8000/inference/sam3",
    json={
        "images": [image_base64],
        "prompts": ["person", "car"],
        "threshold": 0.5,
        "output_format": "dense"
    }
)

result = response.json()
print(f"Processing time: {result['processing_time']}s")
print(f"Results: {len(result['results'][0])} detections")
""",
    "segment_url": r"""
response = requests.post(
    "http://localhost:8000/inference/sam3",
    json={
        "images": [
            {
                "data": "https://example.com/image.jpg",
                "format": "url"
            }
        ],
        "prompts": ["object"],
        "threshold": 0.6,
        "output_format": "polygons"
    }
)
""",
    "detect": r"""
import requests
import base64

# Load image
with open("image.jpg", "rb") as f:
    image_base64 = base64.b64encode(f.read()).decode("utf-8")

# Detect objects
response = requests.post(
    "http://localhost:8000/inference/grounding-dino",
    json={
        "images": [image_base64],
        "prompts": ["person", "car", "traffic light"],
        "box_threshold": 0.4,
        "text_threshold": 0.3
    }
)

result = response.json()
for detection in result["results"][0]["boxes"]:
    print(f"Box: {detection}, Score: {detection['score']}")
""",
    "depth": r"""
import requests
import base64
from PIL import Image
import io
import numpy as np

# Load image
with open("image.jpg", "rb") as f:
    image_base64 = base64.b64encode(f.read()).decode("utf-8")

# Estimate depth
response = requests.post(
    "http://localhost:8000/inference/depth-anything",
    json={
        "images": [image_base64],
        "export_format": "glb"
    }
)

result = response.json()

# Decode depth map
depth_base64 = result["depth_data"]
depth_bytes = base64.b64decode(depth_base64)
depth_image = Image.open(io.BytesIO(depth_bytes))

print(f"Depth map shape: {result['metadata']['shape']}")
depth_image.save("depth_output.png")
""",
    "features": r"""
import requests
import base64
import numpy as np

# Load image
with open("image.jpg", "rb") as f:
    image_base64 = base64.b64encode(f.read()).decode("utf-8")

# Extract features
response = requests.post(
    "http://localhost:8000/inference/dinov3",
    json={
        "images": [image_base64]
    }
)

result = response.json()

# Features are returned as nested lists
features = np.array(result["features"]["last_hidden_state"])
pooled = np.array(result["features"]["pooler_output"])

print(f"Feature shape: {features.shape}")
print(f"Pooled shape: {pooled.shape}")
""",
    "batch": r"""
import requests
import base64

# Load multiple images
images = []
for img_path in ["img1.jpg", "img2.jpg", "img3.jpg"]:
    with open(img_path, "rb") as f:
        images.append(base64.b64encode(f.read()).decode("utf-8"))

# Batch inference
response = requests.post(
    "http://localhost:8000/inference/sam3",
    json={
        "images": images,
        "prompts": ["object"],  # Shared prompt
        "threshold": 0.5
    }
)

result = response.json()
print(f"Processed {len(result['results'])} images in {result['processing_time']}s")
""",
    "job": r"""
import requests
import time

# Submit async job
response = requests.post(
    "http://localhost:8000/jobs/submit/sam3",
    json={
        "images": [image_base64],
        "prompts": ["person", "car"],
        "threshold": 0.5
    }
)

job = response.json()
job_id = job["job_id"]
print(f"Job submitted: {job_id}")

# Poll for completion
while True:
    status_response = requests.get(f"http://localhost:8000/jobs/{job_id}")
    status = status_response.json()

    print(f"Status: {status['status']}")

    if status["status"] in ["completed", "failed"]:
        break

    time.sleep(1)

if status["status"] == "completed":
    print("Result:", status["result"])
else:
    print("Error:", status["error"])
""",
    "manage": r"""
import requests

# Load a specific model variant
requests.post(
    "http://localhost:8000/models/load",
    json={
        "model_type": "grounding_dino",
        "model_id": "IDEA-Research/grounding-dino-tiny",
        "device": "cuda"
    }
)

# Check what models are loaded
response = requests.get("http://localhost:8000/models/status")
print(response.json())

# Unload a model to free memory
requests.post(
    "http://localhost:8000/models/unload",
    json={"model_type": "grounding_dino"}
)
""",
}

HEALTH = {"status": "healthy", "loaded_models": ["sam3"], "available_memory_gb": 10.5, "gpu_available": True}
NOT_LOADED = {"detail": "Model sam3 not loaded. Call load_model() first."}
