-- kong.tracing: spans that record nothing, in the form that plugins expect.
local setmetatable, type, error = setmetatable, type, error

local function nothing() end
local function each() return nothing end

local span = setmetatable({
  is_recording = false, finish = nothing, set_attribute = nothing, add_event = nothing,
  record_error = nothing, set_status = nothing, release = nothing, each_baggage_item = each,
}, { __newindex = nothing })

local function a_span() return span end

local tracer = {
  name = "noop", spans_table_key = "noop", start_span = a_span, create_span = a_span,
  get_spans = nothing, get_root_span = nothing, init_spans = nothing, link_span = nothing,
  active_span = nothing, set_active_span = nothing, process_span = nothing,
  set_should_sample = nothing, get_sampling_decision = nothing,
}
function tracer.new() return tracer end
function tracer.set_global_tracer(other)
  if type(other) ~= "table" then error("invalid tracer", 2) end
  kong.tracing = other
end

return setmetatable(tracer, { __call = function() return tracer end, __newindex = nothing })
