#!/bin/sh
# Installs what the browser tests need, from Debian: three engines, a display for the one that needs it, and ffmpeg for streams.
set -eu
[ "$(id -u)" = 0 ] || exec sudo -n "$0"
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
  chromium firefox-esr webkit2gtk-driver xvfb ffmpeg \
  gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-libav >/dev/null
