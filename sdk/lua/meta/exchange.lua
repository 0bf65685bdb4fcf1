---@meta
-- What phases are called with. For editors only: nothing here is run.

---A filter: the table that its script returns. A request phase that returns an answer ends the request.
---@class pilotlight.Filter
---@field init? fun(config: any) once per VM; an error refuses the manifest
---@field connect? fun(req: pilotlight.Request, ctx: table): pilotlight.Answer?
---@field request? fun(req: pilotlight.Request, ctx: table): pilotlight.Answer?
---@field request_body? fun(chunk: string, last: boolean, ctx: table): string?
---@field request_trailers? fun(req: pilotlight.Request, ctx: table): pilotlight.Answer?
---@field upstream? fun(req: pilotlight.Request, ctx: table): pilotlight.Answer?
---@field response? fun(res: pilotlight.Response, ctx: table)
---@field response_body? fun(chunk: string, last: boolean, ctx: table): string?
---@field response_trailers? fun(res: pilotlight.Response, ctx: table)
---@field log? fun(entry: pilotlight.Entry, ctx: table)

---What a request phase returns to answer.
---@class pilotlight.Answer
---@field status? integer 200 when there is none
---@field headers? table<string, string|number|string[]>
---@field body? string
---@field json? any written as JSON, instead of a body

---Fields of a message, by name in any case: the first value, or nil. Assign a string, a list, or nil.
---@class pilotlight.Headers
---@field [string] string|number|string[]|nil
local Headers = {}

---One more field of this name.
---@param name string
---@param value string|number
function Headers:add(name, value) end

---All values of this name.
---@param name string
---@return string[]
function Headers:all(name) end

---The client's address and port.
---@class pilotlight.Client
---@field address string
---@field port integer

---A verified client certificate.
---@class pilotlight.Certificate
---@field subject string
---@field san string[]
---@field fingerprint string SHA-256, lower-case hexadecimal

---What is known of a TLS connection.
---@class pilotlight.Tls
---@field version "1.2"|"1.3"
---@field server_name? string
---@field alpn? string
---@field client? pilotlight.Certificate

---The request. It is good for its exchange only.
---@class pilotlight.Request
---@field method string
---@field scheme string
---@field host string
---@field authority string host and port, as the client named them
---@field path string
---@field query string? raw; nil removes it
---@field version "1.0"|"1.1"|"2"|"3"
---@field id string the request id
---@field route string
---@field listener string
---@field upstream string? the name of one in the manifest
---@field headers pilotlight.Headers
---@field trailers pilotlight.Headers
---@field client pilotlight.Client
---@field tls pilotlight.Tls?
---@field properties table<string, any> what filters leave for each other
local Request = {}

---The decoded query; a key that repeats has a list.
---@return table<string, string|true|(string|true)[]>
function Request:args() end

---Writes the query from a table.
---@param args table<string, string|number|boolean|(string|number|boolean)[]>
function Request:set_args(args) end

---The whole body, waiting for it.
---@param max? integer bytes; 8 MiB when there is none
---@return string? body
---@return string? why
function Request:body(max) end

---Replaces the body.
---@param body string|number
function Request:set_body(body) end

---The whole body, decoded.
---@param max? integer
---@return any value
---@return string? why
function Request:json(max) end

---Has a module's function change the body, chunk by chunk, on its way to the upstream.
---@param module pilotlight.Module|string
---@param name string
---@param ... any what the function takes behind the chunk
function Request:transform(module, name, ...) end

---The same for the whole body at once, at most 8 MiB.
---@param module pilotlight.Module|string
---@param name string
---@param ... any what the function takes behind the body
function Request:transform_whole(module, name, ...) end

---The response. It is good for its exchange only.
---@class pilotlight.Response
---@field status integer
---@field headers pilotlight.Headers
---@field trailers pilotlight.Headers
---@field from "upstream"|"filter"|"gateway"
---@field properties table<string, any> what filters leave for each other
---@field request pilotlight.Request
local Response = {}

---The whole body, waiting for it.
---@param max? integer bytes; 8 MiB when there is none
---@return string? body
---@return string? why
function Response:body(max) end

---Replaces the body.
---@param body string|number
function Response:set_body(body) end

---The whole body, decoded.
---@param max? integer
---@return any value
---@return string? why
function Response:json(max) end

---Has a module's function change the body, chunk by chunk, on its way to the client.
---@param module pilotlight.Module|string
---@param name string
---@param ... any what the function takes behind the chunk
function Response:transform(module, name, ...) end

---The same for the whole body at once, at most 8 MiB.
---@param module pilotlight.Module|string
---@param name string
---@param ... any what the function takes behind the body
function Response:transform_whole(module, name, ...) end

---An exchange that has ended. What is assigned becomes a field of the access log.
---@class pilotlight.Entry
---@field [string] any
---@field status integer
---@field duration number seconds
---@field upstream_duration number seconds
---@field started number seconds since 1970
---@field received integer bytes of the request's body
---@field sent integer bytes of the response's body
---@field bytes integer the same as `sent`
---@field retries integer
---@field from "upstream"|"filter"|"gateway"
---@field route string
---@field upstream string?
---@field id string
---@field method string
---@field host string
---@field path string
---@field query string?
---@field scheme string
---@field version string
---@field listener string
---@field client string the client's address
---@field properties table<string, any>
---@field request pilotlight.Request
---@field response pilotlight.Response
local Entry = {}
