# A web service as well-behaved ones are: at SIGTERM it says so at /health, goes on serving as long as requests still come,
# and ends. Arguments: port, the word it answers.
import http.server
import os
import signal
import sys
import threading
import time

port, word = int(sys.argv[1]), sys.argv[2]
QUIET = 1  # seconds without a request after which proxies are taken to have noticed
state = {"draining": False, "last": 0.0}


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        health = self.path == "/health"
        if not health:
            state["last"] = time.monotonic()
        body = (word + " " + os.environ["MESOS_TASK_ID"]).encode()
        self.send_response(503 if health and state["draining"] else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 256


def watch():
    while time.monotonic() < state["last"] + QUIET:
        time.sleep(0.1)
    os._exit(0)


def drain(*_):
    if not state["draining"]:
        state.update(draining=True, last=time.monotonic())
        threading.Thread(target=watch).start()


signal.signal(signal.SIGTERM, drain)
Server((os.environ["HOST"], port), Handler).serve_forever()
