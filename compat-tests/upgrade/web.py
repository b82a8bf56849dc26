# A web server as well behaved services are: at SIGTERM it says so in its health check, goes on serving until its
# proxies have noticed, and ends. Arguments: port, the word it answers, seconds of draining.
import http.server
import os
import signal
import sys
import threading

port, word, drain_seconds = int(sys.argv[1]), sys.argv[2], float(sys.argv[3])
draining, ill, ready = threading.Event(), threading.Event(), threading.Event()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = (word + " " + os.environ["MESOS_TASK_ID"]).encode()
        bad = self.path == "/health" and (draining.is_set() or ill.is_set()) or self.path == "/ready" and not ready.is_set()
        self.send_response(503 if bad else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        {"/fall-ill": ill, "/be-ready": ready}[self.path].set()
        self.do_GET()

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 256


def drain(*_):
    draining.set()
    threading.Timer(drain_seconds, os._exit, [0]).start()


signal.signal(signal.SIGTERM, drain)
Server((os.environ["HOST"], port), Handler).serve_forever()
