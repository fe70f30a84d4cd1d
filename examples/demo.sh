#!/bin/sh
# `make demo`: a cluster in the background, a web server in three pods behind a Service, a few requests. Running it again is harmless.
set -eu
MINICTL=${MINICTL:-minictl}
PYTHON=${PYTHON:-python3}
here=$(dirname "$0")
name=demo

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

say "Starting a cluster (two nodes, pods as local processes, objects in sqlite)"
if $MINICTL status --name $name >/dev/null 2>&1; then
  echo "cluster $name is running already"
else
  $MINICTL up --name $name --listen 127.0.0.1:0
fi
KUBECONFIG=$($MINICTL status --name $name -o json | $PYTHON -c 'import json, sys; print(json.load(sys.stdin)[0]["kubeconfig"])')
export KUBECONFIG

say "Applying $here/hello.yaml: a Deployment of three replicas and a Service"
$MINICTL apply -f "$here/hello.yaml"
$MINICTL rollout status deployment/hello --timeout 60
$MINICTL get nodes
$MINICTL get pods,services -o wide

if [ "$(id -u)" = 0 ]; then
  target=$($MINICTL get service hello -o json | $PYTHON -c 'import json, sys; print(json.load(sys.stdin)["spec"]["clusterIP"])')
  say "Fetching http://$target/ (the Service's ClusterIP) several times: every pod takes its turn"
else
  target=127.0.0.1:$($MINICTL get service hello -o json | $PYTHON -c 'import json, sys; print(json.load(sys.stdin)["spec"]["ports"][0]["nodePort"])')
  say "Fetching http://$target/ (the Service's node port on this host) several times: every pod takes its turn"
fi
$PYTHON "$here/fetch.py" "http://$target/" 8

say "The cluster runs on. Point kubectl at it:"
echo "  export KUBECONFIG=$KUBECONFIG"
say "Try next:"
cat <<TEXT
  $MINICTL get all -A
  $MINICTL logs -f deployment/hello
  $MINICTL exec -it deployment/hello -- sh
  $MINICTL scale deployment/hello --replicas 5
  $MINICTL rollout restart deployment/hello
  $MINICTL down --name $name --purge
TEXT
