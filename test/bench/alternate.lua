-- Script of wrk: alternates between two hosts, a slice of time each, so that other load on the machine affects both alike. Prints
-- host and answers of each slice. Arguments: ms of a slice, and the two hosts.
local ffi = require("ffi")
ffi.cdef([[typedef struct { long seconds, nanoseconds; } clock_time; int clock_gettime(int, clock_time *);]])
local CLOCK_MONOTONIC = 1
local at = ffi.new("clock_time")
local function now()
  ffi.C.clock_gettime(CLOCK_MONOTONIC, at)
  return tonumber(at.seconds) * 1000 + tonumber(at.nanoseconds) / 1e6
end

local threads = {}
function setup(thread) table.insert(threads, thread) end

function init(args)
  length, requests = tonumber(args[1]), {}
  for index = 1, 2 do requests[index - 1] = wrk.format("GET", nil, { Host = args[index + 1] }) end
  begun, counts = now(), ""
  slice, answers = 0, 0
end

function request()
  return requests[math.floor((now() - begun) / length) % 2]
end

function response()
  local present = math.floor((now() - begun) / length)
  if present ~= slice then
    counts = counts .. " " .. (slice % 2) .. ":" .. answers
    slice, answers = present, 0
  end
  answers = answers + 1
end

function done()
  for _, thread in ipairs(threads) do print("slices" .. thread:get("counts")) end
end
