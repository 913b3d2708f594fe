-- Sends one CDS Hooks call per request, each with a hookInstance of its own, because an identical call may be answered from memory.
local NO_INSTANCE = "00000000-0000-4000-8000-000000000000"
local before, after, prefix
local sent = 0

function init()
  local file = assert(io.open(os.getenv("BENCH_BODY"), "rb"))
  local body = file:read("*a")
  file:close()
  local first, last = body:find(NO_INSTANCE, 1, true)
  prefix = os.getenv("BENCH_INSTANCE")  -- a fresh UUID without its last 12 digits, new for every run
  before = string.format("POST %s HTTP/1.1\r\nHost: %s:%s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n",
    wrk.path, wrk.host, wrk.port, #body) .. body:sub(1, first - 1) .. prefix
  after = body:sub(last + 1)
end

function request()
  sent = sent + 1
  return before .. string.format("%012x", sent) .. after
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format('\n{"requests": %d, "microseconds": %d, "p50": %d, "p99": %d, "not_2xx": %d, "socket_errors": %d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), errors.status,
    errors.connect + errors.read + errors.write + errors.timeout))
end
