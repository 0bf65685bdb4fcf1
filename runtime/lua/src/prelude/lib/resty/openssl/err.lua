-- `resty.openssl.err`: errors are told at once, none are kept.
local type = type

return {
  format_error = function(context, code, all_errors)
    local text = type(context) == "string" and context or "failed"
    if type(code) == "number" then text = text .. ": code: " .. code end
    return text, all_errors and {} or nil
  end,
  get_last_error_code = function() return 0 end,
  get_lib_error_string = function() return nil end,
  get_reason_error_string = function() return nil end,
}
