"""What `gmzoo serve` finds on the PATH in tests: records what it was told, and answers where its models are.

FAKE_RECORD: the file for what it was told. FAKE_VERSION: of TensorFlow. FAKE_STATE: of its models. FAKE_END:
a code to end with, at once (`early:3`), or after it was asked (`late:1`).
"""

import http.server
import json
import os
import re
import sys
import threading
import time
from pathlib import Path

version = os.environ.get("FAKE_VERSION", "2.21.0")
if "--version" in sys.argv:
    print(f"TensorFlow ModelServer: {version}-rc0+dev.sha.no_git\nTensorFlow Library: {version}")
    sys.exit()

flags = dict(word.removeprefix("--").split("=", 1) for word in sys.argv[1:])
files = {name: Path(flags[name]).read_text() for name in flags if name.endswith("_file")}
Path(os.environ["FAKE_RECORD"]).write_text(json.dumps({"flags": flags, "files": files, "pid": os.getpid()}))
when, _, code = os.environ.get("FAKE_END", "").partition(":")
if when == "early":
    print("Failed to start server. Error: no", file=sys.stderr)
    os._exit(int(code))
names = re.findall(r'name: "([^"]+)"', files["model_config_file"])
time.sleep(0.3)  # a server that loads does not listen yet


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        known = self.path.removeprefix("/v1/models/") in names
        state = os.environ.get("FAKE_STATE", "AVAILABLE")
        content = json.dumps({"model_version_status": [{"version": "1", "state": state}]} if known else {})
        self.send_response(200 if known else 404)
        self.end_headers()
        self.wfile.write(content.encode())
        if when == "late":
            threading.Timer(0.2, os._exit, [int(code)]).start()


http.server.ThreadingHTTPServer(("127.0.0.1", int(flags["rest_api_port"])), Handler).serve_forever()
