"""A web server on this machine, whose paths answer as a test tells them to, and a Hugging Face hub on it."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Web:
    """Answers by path; `requests` holds the handler of each request.

    An answer is called with the handler of the request, and sends what it likes.
    """

    def __init__(self):
        self.answers, self.requests, web = {}, [], self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def do_GET(self):
                self.close_connection = True
                web.requests.append(self)
                web.answers.get(self.path, web.missing)(self)

            do_HEAD = do_GET

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):
                """A client that goes away is no fault of a test."""

        self.server = Server(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def missing(self, handler):
        """What the hub, too, says of a file that it does not have."""
        self.serve("/missing", status=404, X_Error_Code="EntryNotFound")
        self.answers["/missing"](handler)

    def serve_file(self, repository, name, data, large=True, **headers):
        """Let the hub have a file in a repository; large ones it knows by their SHA-256."""
        git = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        etag = hashlib.sha256(data).hexdigest() if large else git
        path = f"/{repository}/resolve/main/{name}"
        return self.serve(path, data, **({"ETag": f'"{etag}"', "X_Repo_Commit": "c" * 40} | headers))

    def serve(self, path, data=b"", status=200, sent=None, **headers):
        """Let a path answer with a file, of which only so many bytes are sent; the address of the path.

        Headers with None are left out, underscores in their names are hyphens.
        """

        def answer(handler):
            handler.send_response(status)
            for name, value in ({"Content_Length": len(data), "Connection": "close"} | headers).items():
                if value is not None:
                    handler.send_header(name.replace("_", "-"), value)
            handler.end_headers()
            if handler.command == "GET":
                handler.wfile.write(data[:sent])

        self.answers[path] = answer
        return self.address + path
