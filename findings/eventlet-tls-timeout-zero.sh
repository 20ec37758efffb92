#!/usr/bin/env bash
# What: a TLS server sends one byte after half a second; the client, once on Python's own `ssl` and once on `eventlet.green.ssl`, calls
#   `settimeout(0)` and reads before and after that. Python's documentation calls a timeout of 0 non-blocking mode.
# Versions: eventlet 0.41.3, from PyPI; Python 3.11, OpenSSL 3.
# Guess: both report "nothing there yet" with the error of non-blocking sockets, `SSLWantReadError`, and then give the byte.
# Seen: on eventlet `settimeout(0)` raises `TimeoutError`, which code that polls takes for a peer that is too slow; only
#   `setblocking(False)` makes the socket non-blocking. On a plain socket of eventlet both do.
# Output: three lines, as in `EXPECTED` below. Exits non-zero if a line differs.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check eventlet==0.41.3
openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost \
  2>/dev/null
cat >server.py <<'PY'
import socket, ssl, sys, time
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("cert.pem", "key.pem")
listener = socket.create_server(("127.0.0.1", 0))
with open("port", "w", encoding="utf-8") as file:
    file.write(str(listener.getsockname()[1]))
for _ in range(3):
    connection, _ = listener.accept()
    connection = context.wrap_socket(connection, server_side=True)
    time.sleep(0.5)
    connection.sendall(b"x")
    connection.recv(1)
PY
cat >client.py <<'PY'
import select, sys, warnings
warnings.simplefilter("ignore")
kind, how = sys.argv[1:]
if kind == "eventlet":
    from eventlet.green import socket, ssl
else:
    import socket, ssl
with open("port", encoding="utf-8") as file:
    port = int(file.read())
context = ssl.create_default_context(cafile="cert.pem")
# TLS 1.3 would send session tickets first, which are no data.
context.maximum_version = ssl.TLSVersion.TLSv1_2
connection = context.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname="localhost")
connection.setblocking(False) if how == "setblocking(False)" else connection.settimeout(0)

def read():
    try:
        return repr(connection.recv(1))
    except Exception as error:
        return type(error).__name__

before = read()
select.select([connection.fileno()], [], [], 10)
after = read()
print(f"{kind}, {how}: {before}, then {after}")
connection.close()
PY
venv/bin/python server.py &
for _ in $(seq 50); do [ -s port ] && break; sleep 0.1; done
for call in "python settimeout(0)" "eventlet settimeout(0)" "eventlet setblocking(False)"; do
  timeout 20 venv/bin/python client.py ${call% *} "${call#* }"
done | tee seen
diff seen - <<'EXPECTED'
python, settimeout(0): SSLWantReadError, then b'x'
eventlet, settimeout(0): TimeoutError, then b'x'
eventlet, setblocking(False): SSLWantReadError, then b'x'
EXPECTED
