# serve-compat in an image. Written where no container engine runs, so it has never been built: kept short for that.
#
#   docker build -t visioncli .
#   docker run -p 8080:8080 visioncli serve                    as SageMaker starts it; weights in /opt/ml/model, if any
#   docker run -p 8000:8000 -e VISIONCLI_API_KEY=... visioncli visioncli serve-compat --api all --port 8000 --host 0.0.0.0
FROM python:3.11-slim
WORKDIR /opt/visioncli
COPY . .
RUN pip install --no-cache-dir --constraint constraints.txt . \
 && printf '#!/bin/sh\nexec visioncli serve-compat --api sagemaker-clip --host 0.0.0.0\n' > /usr/local/bin/serve \
 && chmod +x /usr/local/bin/serve \
 && mkdir -p /opt/ml/code \
 && ln -s /usr/local/bin/serve /opt/ml/code/serve
EXPOSE 8080
CMD ["serve"]
