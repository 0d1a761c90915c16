#!/usr/bin/env bash
# A Prefect server, a work pool `strrn` and a worker on this machine, with the deployments of prefect.yaml. Ends with Ctrl-C.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
port="${PREFECT_SERVER_API_PORT:-4200}"
export PREFECT_API_URL="http://127.0.0.1:$port/api"

if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
  echo "error: port $port is taken, perhaps by another Prefect server; PREFECT_SERVER_API_PORT sets another" >&2
  exit 1
fi

# Server and worker in process groups of their own: Ctrl-C comes to this script, which ends the worker first, for that has to tell the server.
set -m
prefect server start --host 127.0.0.1 --port "$port" --log-level WARNING &
server=$!
worker=
finish() {
  if [[ -n "$worker" ]]; then
    pkill -TERM -P "$worker" || true  # its flows, for whose end it would wait
    kill "$worker" 2>/dev/null || true
    # It may wait for ever for a flow that was just beginning.
    for _ in {1..30}; do
      kill -0 "$worker" 2>/dev/null || break
      sleep 1
    done
    pkill -KILL -P "$worker" || true
    kill -KILL "$worker" 2>/dev/null || true
    wait "$worker" || true
  fi
  kill "$server" 2>/dev/null || true
  wait "$server" || true
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
until python -c "import urllib.request; urllib.request.urlopen('$PREFECT_API_URL/health')" 2>/dev/null; do
  kill -0 "$server" 2>/dev/null || { echo "error: the server ended at once" >&2; exit 1; }
  sleep 1
done

prefect work-pool inspect strrn >/dev/null 2>&1 || prefect work-pool create strrn --type process
prefect work-queue inspect checkout --pool strrn >/dev/null 2>&1 || prefect work-queue create checkout --pool strrn --limit 1
prefect automation inspect "silent flows have crashed" >/dev/null 2>&1 || prefect automation create --from-file flows/silent.yaml
prefect --no-prompt deploy --all
echo "ready: http://127.0.0.1:$port. In another terminal: PREFECT_API_URL=$PREFECT_API_URL .venv/bin/prefect deployment run train/local"
while true; do
  prefect worker start --pool strrn --type process &
  worker=$!
  wait "$worker" || echo "the worker ended with status $?, and what it ran has crashed: run it again. Another one starts in 5 seconds" >&2
  worker=
  sleep 5
done
