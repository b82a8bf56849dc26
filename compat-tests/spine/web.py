# A web server as well behaved services are: at SIGTERM it says so in its health check, goes on serving until its
# proxies have noticed, and ends. Arguments: port, the word it answers, seconds of draining.
import http.server
import os
import signal
import sys
import threading

port, word, drain_seconds = int(sys.argv[1]), sys.argv[2], float(sys.argv[3])
draining = threading.Event()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = (word + " " + os.environ["MESOS_TASK_ID"]).encode()
        self.send_response(503 if draining.is_set() and self.path == "/health" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 256


def drain(*_):
    draining.set()
    threading.Timer(drain_seconds, os._exit, [0]).start()


signal.signal(signal.SIGTERM, drain)
Server(("127.0.0.1", port), Handler).serve_forever()
