"""The examples of runpod-siglip.md as they are printed: commands, bodies, and the answer it shows."""

PICTURE_URL = (
    "https://upload.wikimedia.org/wikipedia/commons/thumb/4/4d/Cat_November_2010-1a.jpg/290px-Cat_November_2010-1a.jpg"
)
HOST = "https://api.runpod.ai"
KEY = "YOUR_RUNPOD_API_KEY"
BASE64 = "/9j/4AAQSkZJRgABAQAAAQ..."

CURL = {
    "classify": r"""
curl -X POST "https://api.runpod.ai/v2/YOUR_ENDPOINT_ID/run" \
  -H "Authorization: Bearer YOUR_RUNPOD_API_KEY" \
  -H "Content-Type: application/json" \
  -d '{
    "input": {
      "task": "classify",
      "image_url": "https://upload.wikimedia.org/wikipedia/commons/thumb/4/4d/Cat_November_2010-1a.jpg/290px-Cat_November_2010-1a.jpg",
      "labels": "cat,dog,bird,car,person"
    }
  }'
""",
    "embed": r"""
curl -X POST "https://api.runpod.ai/v2/YOUR_ENDPOINT_ID/run" \
  -H "Authorization: Bearer YOUR_RUNPOD_API_KEY" \
  -H "Content-Type: application/json" \
  -d '{
    "input": {
      "task": "embed",
      "image_url": "https://upload.wikimedia.org/wikipedia/commons/thumb/4/4d/Cat_November_2010-1a.jpg/290px-Cat_November_2010-1a.jpg"
    }
  }'
""",
}

POWERSHELL = {
    "classify": r"""
Invoke-WebRequest -Uri "https://api.runpod.ai/v2/YOUR_ENDPOINT_ID/run" `
  -Method POST `
  -Headers @{
    "Authorization" = "Bearer YOUR_RUNPOD_API_KEY"
    "Content-Type" = "application/json"
  } `
  -Body '{
    "input": {
      "task": "classify",
      "image_url": "https://upload.wikimedia.org/wikipedia/commons/thumb/4/4d/Cat_November_2010-1a.jpg/290px-Cat_November_2010-1a.jpg",
      "labels": "cat,dog,bird,car,person"
    }
  }'
""",
    "embed": r"""
Invoke-WebRequest -Uri "https://api.runpod.ai/v2/YOUR_ENDPOINT_ID/run" `
  -Method POST `
  -Headers @{
    "Authorization" = "Bearer YOUR_RUNPOD_API_KEY"
    "Content-Type" = "application/json"
  } `
  -Body '{
    "input": {
      "task": "embed",
      "image_url": "https://upload.wikimedia.org/wikipedia/commons/thumb/4/4d/Cat_November_2010-1a.jpg/290px-Cat_November_2010-1a.jpg"
    }
  }'
""",
}

BASE64_BODY = """
{
  "input": {
    "task": "classify",
    "image_base64": "data:image/jpeg;base64,/9j/4AAQSkZJRgABAQAAAQ...",
    "labels": "cat,dog,bird,car,person"
  }
}
"""

ACCEPTED = {"id": "3ee14ebd-6f89-4ba5-9392-fe2ea0bb97f6-e2", "status": "IN_QUEUE"}
