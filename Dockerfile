# The control plane as an image: API server, scheduler and controllers in one process. Used by docker-compose.yml.
FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 python3-venv ca-certificates \
 && rm -rf /var/lib/apt/lists/*
COPY pyproject.toml README.md /src/
COPY api /src/api
COPY agents /src/agents
COPY minikube_py /src/minikube_py
RUN python3 -m venv /opt/minikube-py \
 && /opt/minikube-py/bin/pip install --no-cache-dir --disable-pip-version-check /src \
 && ln -s /opt/minikube-py/bin/minictl /usr/local/bin/minictl
VOLUME /data
EXPOSE 6443
HEALTHCHECK --interval=2s --start-period=10s CMD ["minictl", "get", "namespaces", "--kubeconfig", "/data/kubeconfig"]
ENTRYPOINT ["minictl", "up", "--foreground", "--data-dir", "/data", "--listen", "0.0.0.0:6443"]
CMD ["--components", "apiserver,scheduler,controllers"]
