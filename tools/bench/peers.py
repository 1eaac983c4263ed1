"""The peers: what is installed, and how each is started. Nothing is installed unless it is asked for.

nginx, haproxy, Redis and the NATS server are Debian's; the Node peers are the small programs in peers/, with what its
package-lock.json names, in build/peers.
"""

import json
import os
import re
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
SOURCE, FOLDER = os.path.join(HERE, "peers"), os.path.join(ROOT, "build/peers")
NODE = os.path.join(FOLDER, "node_modules/.bin/node")
PACKAGES = {"nginx": "nginx-light", "haproxy": "haproxy", "redis-server": "redis-server", "nats-server": "nats-server",
            "npm": "npm"}
POLICY = "/usr/sbin/policy-rc.d"
# name: (program, its --mode, the Debian program it needs)
NODE_PEERS = {
    "node": ("node.mjs", None, None),
    "portkey": ("portkey.mjs", None, None),
    "resumable direct": ("resumable.mjs", "direct", "redis-server"),
    "resumable everysec": ("resumable.mjs", "everysec", "redis-server"),
    "resumable always": ("resumable.mjs", "always", "redis-server"),
    "jetstream": ("jetstream.mjs", None, "nats-server"),
    "durable streams": ("durable.mjs", None, None),
}


def has_program(name):
    return shutil.which(name, path="/usr/local/bin:/usr/sbin:/usr/bin") is not None


def names():
    """Of the Node peers that can be started."""
    if not os.path.exists(NODE):
        return []
    return [name for name, (_, _, needs) in NODE_PEERS.items() if needs is None or has_program(needs)]


def start(house, name, mock):
    program, mode, _ = NODE_PEERS[name]
    folder = os.path.join(house.folder, "peer-" + name.replace(" ", "-"))
    os.makedirs(folder, exist_ok=True)
    command = [NODE, os.path.join(FOLDER, program), "--port", "0", "--upstream", mock.url, "--folder", folder]
    headers = ["x-portkey-provider: openai", f"x-portkey-custom-host: {mock.url}/v1"] if name == "portkey" else []
    return house.add(name, command + (["--mode", mode] if mode else []), headers=headers)


def install():
    install_debian([package for program, package in PACKAGES.items() if not has_program(program)])
    os.makedirs(FOLDER, exist_ok=True)
    for name in [".npmrc", *os.listdir(SOURCE)]:
        shutil.copy(os.path.join(SOURCE, name), FOLDER)
    done = subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"], cwd=FOLDER, check=False)
    if done.returncode != 0:
        sys.exit("npm could not install the Node peers; the reason is above.")


def install_debian(missing):
    """A policy-rc.d that says no keeps Debian from starting what it installs; ours is taken away again."""
    if not missing:
        return
    is_ours = not os.path.exists(POLICY)
    apt = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing]
    if os.geteuid() != 0:
        sys.exit("Installing needs root. As root: " + " ".join(apt) + "  (and stop their services)")
    if is_ours:
        with open(POLICY, "w", encoding="utf-8") as file:
            file.write("#!/bin/sh\nexit 101\n")
        os.chmod(POLICY, 0o755)
    try:
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update", "-qq"], env=environment, check=False)
        subprocess.run(apt, env=environment, check=True)
    finally:
        if is_ours:
            os.unlink(POLICY)


def versions():
    """{name: version}, of those that are there."""
    found = {}
    for name, command in (("nginx", ["nginx", "-v"]), ("haproxy", ["haproxy", "-v"]),
                          ("redis-server", ["redis-server", "--version"]), ("nats-server", ["nats-server", "--version"])):
        if has_program(command[0]):
            said = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, text=True,
                                  env={"PATH": "/usr/local/bin:/usr/sbin:/usr/bin"})
            number = re.search(r"\d+(\.\d+)+", said.stdout)
            found[name] = number[0] if number else "of no version"
    if os.path.exists(NODE):
        with open(os.path.join(SOURCE, "package.json"), encoding="utf-8") as file:
            found.update({f"npm {name}": version for name, version in json.load(file)["dependencies"].items()})
    return found
