"""What is measured, started and ended: the mock provider, tokenlog, nginx, haproxy; the Node peers are in peers.py.

Each server is a process of its own with its children, pinned to one core, in a control group of its own where the kernel
lets us make one (then CPU time is counted in microseconds, else in ticks of 10 ms); it is ended by its process ID.
"""

import os
import resource
import shutil
import signal
import socket
import subprocess
import time
import urllib.request

START_SECONDS = 10
STOP_SECONDS = 15
GET_SECONDS = 60  # it may have thousands of streams to close first
FILES_WANTED = 65536
FILES_BESIDE = 200  # of a proxy, that are no streams


def cores():
    """The core of the servers that are compared, and the one of everything else."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[min(1, len(allowed) - 1)]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def raise_file_limit():
    """The servers inherit it: two descriptors a stream. Root may raise it further."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(most, FILES_WANTED),) * 2)
    except (ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def make_group(name):
    """A control group (version 2), or None where that is not allowed."""
    with open("/proc/self/mounts", encoding="utf-8") as mounts:
        tops = [line.split()[1] for line in mounts if line.split()[2] == "cgroup2"]
    for top in tops:
        path = os.path.join(top, f"tokenlog-bench-{os.getpid()}-{name}")
        try:
            os.mkdir(path)
            with open(os.path.join(path, "cpu.stat"), encoding="utf-8") as stat:
                if "usage_usec" in stat.read():
                    return path
            os.rmdir(path)
        except OSError:
            pass
    return None


class Server:
    """One running server. `url` is where it serves, `group` its control group or None, `headers` what each request to it
    needs, `is_durable` that its commits are to be seen at the device."""

    def __init__(self, name, command, cores_used, log_path, url=None, headers=(), is_durable=False):
        self.name, self.url, self.log_path = name, url, log_path
        self.headers, self.is_durable = headers, is_durable
        self.group = make_group(name)
        self.started = time.monotonic()
        with open(log_path, "ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
                preexec_fn=lambda: self._enter(cores_used))
        if url is None:
            self.url = self._read_url()
        else:
            self._await_port(int(url.rsplit(":", 1)[1]))
        self.start_ms = (time.monotonic() - self.started) * 1000

    def _enter(self, cores_used):
        os.sched_setaffinity(0, cores_used)
        if self.group:
            with open(os.path.join(self.group, "cgroup.procs"), "w", encoding="utf-8") as procs:
                procs.write(str(os.getpid()))

    def _read_url(self):
        """tokenlog and the mock print `listening ADDRESS` first."""
        line = self.process.stdout.readline().decode()
        if not line.startswith("listening "):
            self.stop()
            raise RuntimeError(f"{self.name} did not start: {self._last_words()}")
        address = line.split()[1]
        return address if address.startswith("http") else "http://" + address

    def _await_port(self, port):
        while time.monotonic() < self.started + START_SECONDS and self.process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.01)
        self.stop()
        raise RuntimeError(f"{self.name} did not start: {self._last_words()}")

    def _last_words(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return log.read()[-500:]

    def pids(self):
        found, left = [], [self.process.pid]
        while left:
            pid = left.pop()
            found.append(pid)
            try:
                for task in os.listdir(f"/proc/{pid}/task"):
                    with open(f"/proc/{pid}/task/{task}/children", encoding="utf-8") as children:
                        left += [int(child) for child in children.read().split()]
            except OSError:
                pass
        return found

    def watch_arguments(self):
        arguments = [word for pid in self.pids() for word in ("--watch", str(pid))]
        return arguments + (["--watch-group", self.group] if self.group else [])

    def load_arguments(self):
        return ["--url", self.url, *(word for header in self.headers for word in ("--header", header)),
                *self.watch_arguments()]

    def metrics(self):
        """{name with labels: value} of a tokenlog."""
        found = {}
        for line in self.get("/metrics").decode().splitlines():
            if not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                found[name] = float(value)
        return found

    def resident_bytes(self):
        total = 0
        for pid in self.pids():
            with open(f"/proc/{pid}/statm", encoding="utf-8") as statm:
                total += int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE")
        return total

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=GET_SECONDS) as reply:
            return reply.read()

    def kill(self):
        """As a crash does."""
        self.process.kill()
        self.process.wait()
        self.stop()

    def stop(self):
        children = self.pids()[1:]
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                for child in children:
                    end_process(child)
        self.process.stdout.close()
        if self.group:
            for _ in range(50):  # its last thread may still be on its way out
                try:
                    os.rmdir(self.group)
                    break
                except OSError:
                    time.sleep(0.02)


def end_process(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


class House:
    """All servers of one run, in one folder that is removed with them."""

    def __init__(self, build, folder):
        self.build, self.folder = build, folder
        self.server_core, self.other_core = cores()
        self.servers = []
        self.files = raise_file_limit()

    def add(self, name, command, url=None, cores_used=None, **named):
        """`url`: where it will serve; None: it says so itself."""
        log = os.path.join(self.folder, name.replace(" ", "-") + ".log")
        server = Server(name, command, cores_used or {self.server_core}, log, url, **named)
        self.servers.append(server)
        return server

    def mock(self):
        command = [os.path.join(self.build, "tools/mock/mock_provider"), "--listen", "127.0.0.1:0"]
        return self.add("direct", command, cores_used={self.other_core})

    def tokenlog(self, name, mock, *flags, data=None, cores_used=None):
        """on_disconnect=1: what the load generator leaves behind at a window's end soon stops. Without a mock the flags
        name its providers."""
        command = [os.path.join(self.build, "tokenlog"), "serve", "--listen", "127.0.0.1:0", "--data",
                   os.path.join(self.folder, data or name), *(["--provider", f"mock={mock.url}/v1"] if mock else []),
                   "--on-disconnect", "1",
                   "--log-level", "error", "--streams-max", "20000", "--connections-max", "40000",
                   *(["--reactors", "1"] if self.has_reactors() and "--reactors" not in flags else []), *flags]
        return self.add(name, command, cores_used=cores_used, is_durable="memory" not in flags)

    def has_reactors(self):
        said = subprocess.run([os.path.join(self.build, "tokenlog"), "serve", "--help"], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False, text=True)
        return "--reactors" in said.stdout

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def nginx(self, mock, static_files=1):
        """GET /static/stream.txt is one of static/0.txt, static/1.txt …, so many, by turns that the requests' hashes give."""
        port, root = free_port(), os.path.join(self.folder, "static")
        os.makedirs(root, exist_ok=True)
        shares = "".join(f"        {100 / static_files:.2f}% {i};\n" for i in range(1, static_files))
        config = self.write("nginx.conf", f"""
{"user root;" if os.geteuid() == 0 else ""}
worker_processes 1;
pid {self.folder}/nginx.pid;
error_log {self.folder}/nginx.log error;
worker_rlimit_nofile {self.files};
events {{ worker_connections {self.files - FILES_BESIDE}; }}
http {{
    access_log off;
    client_body_temp_path {self.folder}/nginx-body;
    proxy_temp_path {self.folder}/nginx-proxy;
    fastcgi_temp_path {self.folder}/nginx-fastcgi;
    uwsgi_temp_path {self.folder}/nginx-uwsgi;
    scgi_temp_path {self.folder}/nginx-scgi;
    keepalive_requests 100000000;
    sendfile on;
    split_clients "$connection $connection_requests" $stream {{
{shares}        * 0;
    }}
    upstream provider {{ server {mock.url[7:]}; keepalive 4000; keepalive_requests 100000000; }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location = /static/stream.txt {{ alias {root}/$stream.txt; types {{ }} default_type text/event-stream; }}
        location / {{
            proxy_pass http://provider;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
            proxy_read_timeout 1h;
        }}
    }}
}}
""")
        command = [shutil.which("nginx", path="/usr/sbin:/usr/bin"), "-p", self.folder, "-c", config, "-g",
                   "daemon off;"]
        return self.add("nginx", command, f"http://127.0.0.1:{port}")

    def haproxy(self, mock):
        port = free_port()
        config = self.write("haproxy.cfg", f"""
global
    nbthread 1
    maxconn {(self.files - FILES_BESIDE) // 2}
defaults
    mode http
    option http-no-delay
    http-reuse always
    timeout connect 5s
    timeout client 1h
    timeout server 1h
frontend entrance
    bind 127.0.0.1:{port} backlog 4096
    default_backend provider
backend provider
    server mock {mock.url[7:]}
""")
        command = [shutil.which("haproxy", path="/usr/sbin:/usr/bin"), "-f", config, "-db"]
        return self.add("haproxy", command, f"http://127.0.0.1:{port}")

    def kill(self, server):
        self.servers.remove(server)
        server.kill()

    def end(self, server):
        self.servers.remove(server)
        server.stop()

    def close(self):
        for server in reversed(self.servers):
            server.stop()
        self.servers = []
        shutil.rmtree(self.folder, ignore_errors=True)
