# clipneuron in a container, for one machine, for Ray's cluster launcher (cluster.yaml) and for Kubernetes.
#
#   docker build --target cpu  -t clipneuron:cpu .
#   docker build --target cuda -t clipneuron:cuda .       (also the default)
#   docker run --rm clipneuron:cpu clipneuron run --recipe demo --store /tmp/demo
#   docker run --rm --gpus all --shm-size 8g -v "$PWD":/data clipneuron:cuda clipneuron run --recipe vit_b_32 ...
#
# Both targets contain the same packages, those of requirements/all.lock with their hashes: PyTorch's wheels include CUDA's
# libraries (about 6 GB) and run on a CPU too. The targets differ in what they ask of the container runtime.
# The base is pinned by tag; to pin it by digest: --build-arg BASE=python:3.11-slim-bookworm@sha256:...

ARG BASE=python:3.11-slim-bookworm

# ---- build: everything is installed into one folder, the only one that the next stage copies
FROM ${BASE} AS build
ENV VENV=/opt/clipneuron PIP_NO_CACHE_DIR=1 UV_NO_CACHE=1 UV_LINK_MODE=copy
WORKDIR /src
COPY requirements/uv.lock requirements/all.lock requirements/
RUN python -m venv /opt/uv && /opt/uv/bin/python -m pip install --quiet --require-hashes -r requirements/uv.lock
RUN python -m venv --without-pip ${VENV}
# The lock on its own first, so that a change of the project does not reinstall 6 GB.
RUN /opt/uv/bin/uv pip install --quiet --python ${VENV}/bin/python --compile-bytecode --require-hashes -r requirements/all.lock
COPY pyproject.toml README.md LICENSE ./
COPY clipneuron clipneuron
COPY jobs jobs
RUN /opt/uv/bin/uv pip install --quiet --python ${VENV}/bin/python --compile-bytecode --no-deps --no-build-isolation .

# ---- cpu: the image that runs
FROM ${BASE} AS cpu
LABEL org.opencontainers.image.title="clipneuron" \
      org.opencontainers.image.description="Second-order effects of the neurons in CLIP's vision transformers" \
      org.opencontainers.image.licenses="MIT"
# Ray's launcher copies files into containers with rsync, and the head reaches the other nodes by ssh.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends openssh-client procps rsync \
 && rm -rf /var/lib/apt/lists/*
# Ray's launcher starts login shells, which set their own PATH; a token is mounted in .ray.
RUN useradd --uid 1000 --create-home --shell /bin/bash clipneuron \
 && echo 'export PATH=/opt/clipneuron/bin:$PATH' > /etc/profile.d/clipneuron.sh \
 && install --directory --owner clipneuron --group clipneuron /data /home/clipneuron/.ray
COPY --from=build /opt/clipneuron /opt/clipneuron
ENV HOME=/home/clipneuron PATH=/opt/clipneuron/bin:$PATH PYTHONUNBUFFERED=1 RAY_USAGE_STATS_ENABLED=0
USER clipneuron
WORKDIR /data
# No ENTRYPOINT: Ray's launcher and KubeRay start their own shells in this image.
CMD ["clipneuron", "--help"]

# ---- cuda: the same, with the driver requested from the NVIDIA container runtime
FROM cpu AS cuda
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
