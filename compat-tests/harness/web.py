# A web service as well-behaved ones are: at SIGTERM it says so at /health, goes on serving until the proxy that has said
# hello says good-bye, and ends. Arguments: port, the word it answers.
#
#   GET /          the word and the task's id
#   POST /hello    a proxy will send requests; 503 while it drains
#   POST /bye      it sends nothing any more
#   GET /health    503 while it drains, and after POST /fall-ill
#   GET /ready     503 until POST /be-ready
import http.server
import os
import signal
import sys
import threading

port, word = int(sys.argv[1]), sys.argv[2]
draining, ill, ready = threading.Event(), threading.Event(), threading.Event()
used = threading.Event()  # some proxy sends requests here
ending = threading.Lock()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        bad = self.path == "/health" and (draining.is_set() or ill.is_set()) or self.path == "/ready" and not ready.is_set()
        self.answer(503 if bad else 200)

    def do_POST(self):
        with ending:
            late = self.path == "/hello" and draining.is_set()
            if self.path == "/bye":
                used.clear()
            elif not late:
                {"/hello": used, "/fall-ill": ill, "/be-ready": ready}[self.path].set()
        self.answer(503 if late else 200)
        if self.path == "/bye":
            end_if_unused()

    def answer(self, status):
        body = (word + " " + os.environ["MESOS_TASK_ID"]).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 256


def end_if_unused():
    with ending:
        if draining.is_set() and not used.is_set():
            os._exit(0)


def drain(*_):
    draining.set()
    threading.Thread(target=end_if_unused).start()


signal.signal(signal.SIGTERM, drain)
Server((os.environ["HOST"], port), Handler).serve_forever()
