# SPDX-License-Identifier: Apache-2.0
"""A certificate authority made on the spot by openssl, and certificates that are right or wrong on purpose."""
import os
import subprocess

CA_CONF = """
[ca]
default_ca = here
[here]
dir = {dir}
database = {dir}/index.txt
serial = {dir}/serial
new_certs_dir = {dir}
certificate = {dir}/ca.crt
private_key = {dir}/ca.key
default_md = sha256
default_days = 30
policy = any
unique_subject = no
copy_extensions = copy
[any]
commonName = supplied
[leaf]
basicConstraints = CA:FALSE
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""


class Authority:
    def __init__(self, directory, name="Throw-away CA"):
        self.dir = directory
        os.makedirs(directory, exist_ok=True)
        self.file = os.path.join(directory, "ca.crt")
        for file, text in (("ca.conf", CA_CONF.format(dir=directory)), ("index.txt", ""), ("serial", "1000\n")):
            with open(os.path.join(directory, file), "w", encoding="ascii") as f:
                f.write(text)
        # Python 3.13 holds a certificate to every word of RFC 5280: an authority says that it may sign, all say by whose key.
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                      "-keyout", os.path.join(directory, "ca.key"), "-out", self.file, "-days", "365",
                      "-addext", "keyUsage=critical,keyCertSign,cRLSign", "-subj", "/CN=" + name)

    @staticmethod
    def _openssl(*args):
        done = subprocess.run(["openssl", *args], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError("openssl " + args[0] + ": " + done.stderr)

    def issue(self, name, hosts=("localhost", "127.0.0.1"), start=None, end=None):
        """Gives (certificate file, key file). start, end: YYYYMMDDHHMMSSZ."""
        base = os.path.join(self.dir, name)
        names = ",".join(("IP:" if h.replace(".", "").isdigit() else "DNS:") + h for h in hosts)
        self._openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                      "-keyout", base + ".key", "-out", base + ".csr", "-subj", "/CN=" + name,
                      "-addext", "subjectAltName=" + names)
        period = []
        if start:
            period += ["-startdate", start]
        if end:
            period += ["-enddate", end]
        self._openssl("ca", "-batch", "-notext", "-config", os.path.join(self.dir, "ca.conf"), "-extensions", "leaf",
                      "-in", base + ".csr", "-out", base + ".crt", *period)
        return base + ".crt", base + ".key"
