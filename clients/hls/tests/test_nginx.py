"""Debian's nginx with its RTMP module serves a real stream to real players (ffmpeg), and a real node counts them."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import until

CONF = """
load_module {root}/usr/lib/nginx/modules/ngx_rtmp_module.so;
daemon off;
pid {work}/nginx.pid;
error_log {work}/error.log;
worker_processes 1;
user root;
events {{}}
rtmp {{
  access_log off;
  server {{
    listen 127.0.0.1:{rtmp};
    application live {{
      live on;
      hls on;
      hls_path {work}/hls;
      hls_fragment 1s;
      hls_playlist_length 6s;
      {notify}
    }}
  }}
}}
http {{
  log_format named escape=json '{{"msec":"$msec","remote_addr":"$remote_addr","request_method":"$request_method","request_uri":"$request_uri",'
    '"status":"$status","http_user_agent":"$http_user_agent","viewer":"$cookie_viewer"}}';
  access_log {work}/combined.log;
  access_log {work}/json.log named;
  client_body_temp_path {work}/tmp;
  proxy_temp_path {work}/tmp;
  fastcgi_temp_path {work}/tmp;
  uwsgi_temp_path {work}/tmp;
  scgi_temp_path {work}/tmp;
  server {{
    listen 127.0.0.1:{http};
    location /hls {{ root {work}; }}
  }}
}}
"""

NOTIFY = """
      notify_update_timeout 1s;
      on_play http://127.0.0.1:{hooks}/;
      on_update http://127.0.0.1:{hooks}/;
      on_play_done http://127.0.0.1:{hooks}/;
"""


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Site:
    """nginx with a publisher, players and adapters, each a process that ends with the test."""

    def __init__(self, work, server):
        self.work = work
        self.server = server
        self.processes = []
        self.ports = {name: free_port() for name in ("rtmp", "http", "hooks")}

    def run(self, name, *command, **fields):
        with (self.work / f"{name}.err").open("w") as error:
            process = subprocess.Popen(
                [str(each) for each in command], stdout=subprocess.DEVNULL, stderr=error, **fields
            )
        self.processes.append(process)
        return process

    def start(self, notify=""):
        root = os.environ["CLIENTS_DEBIAN"]
        (self.work / "tmp").mkdir()
        (self.work / "hls").mkdir()
        conf = self.work / "nginx.conf"
        conf.write_text(CONF.format(root=root, work=self.work, notify=notify.format(**self.ports), **self.ports))
        for name in ("combined.log", "json.log"):
            (self.work / name).touch()
        self.run("nginx", f"{root}/usr/sbin/nginx", "-e", self.work / "error.log", "-c", conf)
        until(lambda: (self.work / "nginx.pid").exists())

    def publish(self, stage):
        self.run(
            "publish", "ffmpeg", "-v", "error", "-nostdin", "-re", "-f", "lavfi", "-i", "testsrc=size=160x90:rate=25", "-c:v", "libx264",
            "-preset", "ultrafast", "-g", "25", "-f", "flv", f"rtmp://127.0.0.1:{self.ports['rtmp']}/live/{stage}",
        )  # fmt: skip
        until(lambda: len(list((self.work / "hls").glob(f"{stage}-*.ts"))) >= 3)

    def play(self, player, path, *options):
        url = f"http://127.0.0.1:{self.ports['http']}/hls/{path}"
        null = ("-c", "copy", "-f", "null", "-")
        return self.run(player, "ffmpeg", "-v", "error", "-nostdin", "-user_agent", player, *options, "-i", url, *null)

    def play_rtmp(self, stage):
        url = f"rtmp://127.0.0.1:{self.ports['rtmp']}/live/{stage}"
        return self.run("rtmp", "ffmpeg", "-v", "error", "-nostdin", "-i", url, "-c", "copy", "-f", "null", "-")

    def adapt(self, name, *arguments, source=None):
        command = [sys.executable, "-m", "housecount_hls", *arguments, "--server", self.server, "--every", "1"]
        command += ["--salt", self.work / "salt"]
        if source is None:
            return self.run(name, *command)
        tail = subprocess.Popen(["tail", "-F", "-n", "0", str(source)], stdout=subprocess.PIPE)
        self.processes.append(tail)
        with tail.stdout as lines:
            return self.run(name, *command, stdin=lines)

    def stop(self):
        for process in reversed(self.processes):
            process.kill()
        for process in self.processes:
            process.wait()


@pytest.fixture
def site(tmp_path, url):
    # nginx's worker drops no rights here, and needs none.
    site = Site(Path(tmp_path), url)
    yield site
    site.stop()


def test_players_are_counted_by_the_access_log(site, client, viewers_of, stage):
    site.start()
    site.adapt("adapter", "log", "--kind", "nginx-rtmp", source=site.work / "combined.log")
    site.publish(stage)
    first = site.play("player-1", f"{stage}.m3u8")
    site.play("player-2", f"{stage}.m3u8")
    site.play("player-3", f"{stage}.m3u8?viewer=ann")
    until(lambda: len(viewers_of(stage)) == 3)
    assert "ann" in viewers_of(stage), "the playlist's query names the viewer of the segments"
    first.kill()
    until(lambda: len(viewers_of(stage)) == 2)
    # Longer than a ttl (4 s): each second has a segment, so that those who play stay, and their time has no gap.
    until(lambda: any(row.viewer == "ann" and row.watch_ms > 6_000 for row in client.list_stage_watch(stage)))
    assert len(viewers_of(stage)) == 2
    (ann,) = [row for row in client.list_stage_watch(stage, intervals=True) if row.viewer == "ann"]
    assert len(ann.intervals) == 1


def test_a_cookie_names_the_viewer_in_a_json_log(site, viewers_of, stage):
    site.start()
    site.adapt("adapter", "log", "--kind", "nginx-rtmp", source=site.work / "json.log")
    site.publish(stage)
    for number, name in enumerate(("ann", "bob", "ann")):
        site.play(f"player-{number}", f"{stage}.m3u8", "-headers", f"Cookie: viewer={name}\r\n")
    until(lambda: viewers_of(stage) == ["ann", "bob"])


def test_a_stream_that_ends_has_no_viewers(site, viewers_of, stage):
    site.start()
    site.adapt("adapter", "log", "--kind", "nginx-rtmp", source=site.work / "combined.log")
    site.publish(stage)
    site.play("player-1", f"{stage}.m3u8")
    until(lambda: len(viewers_of(stage)) == 1)
    publisher = next(each for each in site.processes if f"live/{stage}" in str(each.args) and "libx264" in each.args)
    publisher.kill()
    until(lambda: viewers_of(stage) == [])
    assert any(each.poll() is None for each in site.processes if "player-1" in each.args), (
        "the player still asks for the playlist"
    )


def test_rtmp_players_are_counted_by_hooks(site, viewers_of, stage):
    site.adapt("adapter", "hooks", "--kind", "nginx-rtmp", "--listen", f"127.0.0.1:{site.ports['hooks']}")
    until(lambda: "listens for" in (site.work / "adapter.err").read_text())
    # nginx drops publishers and players whose update is not taken, so that the adapter starts first.
    site.start(NOTIFY)
    site.publish(stage)
    player = site.play_rtmp(f"{stage}?viewer=ann")
    until(lambda: viewers_of(stage) == ["ann"])
    player.kill()
    until(lambda: viewers_of(stage) == [])
