"""A chat service that speaks OpenAI's protocol over HTTP and misbehaves when it is asked to.

    python -m tests.samples.chat_server

prints its port and serves until its input ends. A prompt "429 2 hello" gets status 429 on its first two tries and the
answer "hello" after that; instead of a status there are hang, drip, reset, short, garbage, empty and null. A prompt
"meet 0 hello" is held until another one is there too.
GET /log gives all requests so far, as JSON.
"""

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LOG: list[dict] = []
TRIES: dict[str, int] = {}
LOCK = threading.Lock()
MEETING = threading.Condition()
PRESENT: list["Handler"] = []


def completion(text: str | None, finish: str = "stop", **more: object) -> bytes:
    message = {"role": "assistant", "content": text} | more
    body = {
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
    }
    return json.dumps(body).encode()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        with LOCK:
            self.send(200, json.dumps(LOG).encode())

    def do_POST(self) -> None:
        began = time.time()
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = body["messages"][-1]["content"]
        with LOCK:
            TRIES[text] = TRIES.get(text, 0) + 1
            entry = {
                "path": self.path,
                "body": body,
                "time": began,
                "key": self.headers["Authorization"],
            }
            LOG.append(entry)
            tries = TRIES[text]
        fault, times, answer = text.split(" ", 2)
        if tries <= int(times):
            self.misbehave(fault, answer)
        elif fault in ("cut", "filtered", "parts", "refused", "spent"):
            self.send(200, self.odd(fault, answer))
        else:
            if fault == "meet":
                self.meet(entry)
            self.send(200, completion(answer))

    def meet(self, entry: dict) -> None:
        """Holds a request until another one is here too, half a second at most, and notes how many there were."""
        with MEETING:
            PRESENT.append(self)
            MEETING.notify_all()
            MEETING.wait_for(lambda: len(PRESENT) > 1, 0.5)
            entry["present"] = len(PRESENT)
            PRESENT.remove(self)

    def odd(self, fault: str, answer: str) -> bytes:
        if fault == "cut":
            return completion(answer, "length")
        if fault == "spent":
            return completion(None, "length", reasoning_content="hm ...")
        if fault == "parts":
            return completion(None, content=[{"type": "text", "text": answer}])
        return (
            completion(None, "content_filter")
            if fault == "filtered"
            else completion(None, refusal=answer)
        )

    def misbehave(self, fault: str, answer: str) -> None:
        if fault.isdigit():
            said = {"error": {"message": f"no {self.headers['Authorization']}"}}
            self.send(
                int(fault),
                json.dumps(said).encode(),
                {"Retry-After": "0.3"} if fault == "429" else {},
            )
        elif fault == "garbage":
            self.send(200, b"<html>gateway</html>")
        elif fault == "empty":
            self.send(200, b'{"choices": []}')
        elif fault == "null":
            self.send(200, completion(None))
        elif fault == "reset":
            self.connection.close()
        else:
            self.stall(fault, completion(answer))

    def stall(self, fault: str, body: bytes) -> None:
        if fault == "hang":
            time.sleep(5)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if fault == "short":
            self.wfile.write(body[:-20])
            self.close_connection = True
            return
        for byte in body:
            self.wfile.write(bytes([byte]))
            self.wfile.flush()
            time.sleep(0.1)

    def send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    sys.stdin.read()  # until the tests end, however they end
