# The command deeplab-dpc with its packages. EXTRA=gpu has TensorFlow with CUDA, which needs NVIDIA's container toolkit.
FROM python:3.12-slim

ARG EXTRA=cpu

# Weights that are asked for by name are kept here; give it a volume to keep them longer than a container.
ENV DEEPLAB_DPC_CACHE=/cache \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1

COPY . /src
RUN pip install --no-cache-dir "/src[${EXTRA}]" \
    && rm -r /src \
    && useradd --create-home --uid 1000 user \
    && install --directory --owner=user /cache /work

USER 1000
WORKDIR /work
ENTRYPOINT ["deeplab-dpc"]
CMD ["--help"]
