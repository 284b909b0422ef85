-- Heartbeats for wrk: POST /v1/heartbeat with one body after another out of a file (a body a line, written by the
-- harness, so that every load beats the same viewers; after a tab, a token). Run by bench/run; by hand:
--   wrk -t2 -c64 -d10s -s bench/wrk/heartbeat.lua http://127.0.0.1:7400 -- bench/target/beats.ndjson
-- Prints one line `RESULT {...}` at the end: times in microseconds.

local threads = 0

function setup(thread)
  thread:set("number", threads) -- a global there, as `of` is
  threads = threads + 1
  thread:set("of", tonumber(os.getenv("WRK_THREADS")) or 1)
end

function init(args)
  requests = {}
  local headers = { ["content-type"] = "application/json" }
  for body in io.lines(args[1]) do
    local bare, token = body:match("^(.*)\t(.*)$")
    headers["authorization"] = token and "Bearer " .. token or nil
    requests[#requests + 1] = wrk.format("POST", "/v1/heartbeat", headers, bare or body)
  end
  -- Threads begin at different viewers, so that none is beaten by two at once.
  at = math.floor(#requests * number / of)
end

function request()
  at = at % #requests + 1
  return requests[at]
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    'RESULT {"requests":%d,"us":%d,"not_2xx":%d,"broken":%d,"p50_us":%d,"p99_us":%d}\n',
    summary.requests, summary.duration, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
