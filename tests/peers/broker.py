# SPDX-License-Identifier: Apache-2.0
"""A mosquitto of our own: own configuration, own ports, own data, plain and TLS."""
import os
import shutil
import signal
import subprocess

from processes import answers, free_port, spawn, stop, wait_until

MOSQUITTO = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


class Broker:
    def __init__(self, directory, authority=None, certificate=None, extra="", acl=None, users=None):
        """acl: text of an ACL file. users: {name: password}; without it anonymous clients are welcome.
        certificate: (file, key file) in place of one that is right."""
        self.dir = directory
        os.makedirs(directory, exist_ok=True)
        self.port = free_port()
        self.tls_port = free_port() if authority else None
        self.authority = authority
        self.certificate = certificate
        if authority and not certificate:
            self.certificate = authority.issue("broker")
        self.extra = extra
        self.process = None
        self.acl_file = os.path.join(directory, "acl")
        self.has_acl = acl is not None
        if acl is not None:
            self.set_acl(acl)
        self.users_file = None
        if users:
            self.users_file = os.path.join(directory, "users")
            with open(self.users_file, "w", encoding="ascii") as f:
                f.writelines(f"{name}:{password}\n" for name, password in users.items())
            subprocess.run(["mosquitto_passwd", "-U", self.users_file], check=True)
        self.log_file = os.path.join(directory, "mosquitto.log")

    def set_acl(self, text):
        with open(self.acl_file, "w", encoding="ascii") as f:
            f.write(text)
        os.chmod(self.acl_file, 0o644)

    def _configuration(self):
        lines = ["persistence true", f"persistence_location {self.dir}/",
                 "max_queued_messages 0", "max_queued_bytes 0", "max_inflight_messages 0", "set_tcp_nodelay true",
                 f"log_dest file {self.log_file}", "log_type all", "log_timestamp_format %H:%M:%S",
                 f"allow_anonymous {'false' if self.users_file else 'true'}"]
        if os.geteuid() == 0:
            lines.append("user root")
        if self.users_file:
            lines.append(f"password_file {self.users_file}")
        if self.has_acl:
            lines.append(f"acl_file {self.acl_file}")
        lines += [f"listener {self.port} 127.0.0.1"]
        if self.tls_port:
            lines += [f"listener {self.tls_port} 127.0.0.1", f"cafile {self.authority.file}",
                      f"certfile {self.certificate[0]}", f"keyfile {self.certificate[1]}"]
        return "\n".join(lines) + "\n" + self.extra + "\n"

    def start(self):
        path = os.path.join(self.dir, "mosquitto.conf")
        with open(path, "w", encoding="ascii") as f:
            f.write(self._configuration())
        self.process = spawn([MOSQUITTO, "-c", path], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
        wait_until(lambda: self.process.poll() is not None or answers(self.tls_port or self.port), 20,
                   "the broker to listen")
        if self.process.poll() is not None:
            raise RuntimeError("mosquitto does not start: " + self.log())
        return self

    def stop(self):
        """In good order: what clients with a session have not got yet is kept on disk."""
        stop(self.process)
        self.process = None

    def kill(self):
        stop(self.process, signal.SIGKILL)
        self.process = None

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    def log(self):
        try:
            with open(self.log_file, encoding="utf-8", errors="replace") as f:
                return f.read()
        except OSError:
            return ""

    def close(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.kill()
