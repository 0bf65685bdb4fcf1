---@meta
-- What scripts may ask of the world. For editors only: nothing here is run.

gateway = {}

---The filter's `config` in the manifest.
---@type any
gateway.config = nil

---The filter's name in the manifest.
---@type string
gateway.name = ""

---A variable that `[gateway] env` names.
---@param name string
---@return string?
function gateway.env(name) end

---Seconds since 1970, with fractions.
---@return number
function gateway.now() end

---Seconds since some start; never goes back.
---@return number
function gateway.monotonic() end

---Waits.
---@param seconds number
function gateway.sleep(seconds) end

---A function beside exchanges.
---@class pilotlight.Task
local Task = {}

---It does not begin (again); false when it had ended.
---@return boolean
function Task:cancel() end

---Runs a function beside the exchange.
---@param fn function
---@param ... any its arguments
---@return pilotlight.Task? task
---@return string? why
function gateway.spawn(fn, ...) end

---Runs a function later.
---@param seconds number
---@param fn function
---@param ... any its arguments
---@return pilotlight.Task? task
---@return string? why
function gateway.after(seconds, fn, ...) end

---Runs a function again and again, so long after its last run has ended.
---@param seconds number at least 0.001
---@param fn function
---@param ... any its arguments
---@return pilotlight.Task? task
---@return string? why
function gateway.every(seconds, fn, ...) end

---Offers a function to Wasm filters, which call it by this name. Only while the script loads.
---@param name string
---@param fn fun(argument: string): (string|number)?, string? its result, or nil and why there is none
---@param options? { later: boolean } later: it may wait, and its answers come later
function gateway.export(name, fn, options) end

---Runs functions side by side; a list of their first results.
---@param functions function[]
---@return any[]
function gateway.all(functions) end

---A request of the script's own.
---@class pilotlight.Fetch
---@field url string absolute; with `upstream`, its path may stand alone
---@field method? string GET when there is none
---@field headers? table<string, string|number|string[]>
---@field body? string
---@field timeout? number seconds; 10 when there is none
---@field upstream? string goes through this upstream of the manifest

---Its response.
---@class pilotlight.Fetched
---@field status integer
---@field headers table<string, string|string[]> read in any case
---@field body string
local Fetched = {}

---The body, decoded.
---@return any value
---@return string? why
function Fetched:json() end

---Sends a request and waits for its response.
---@param what string|pilotlight.Fetch
---@param options? table what stands beside the URL in a table
---@return pilotlight.Fetched? response
---@return string? why
function gateway.fetch(what, options) end

---A module's functions: `nil, why` where one fails.
---@class pilotlight.Module
---@field [string] fun(...: any): any, string?

---A module of `[modules]`.
---@param name string
---@return pilotlight.Module
function gateway.wasm(name) end

---A dictionary that all workers share.
---@class pilotlight.Shared
local Shared = {}

---@alias pilotlight.Scalar string|number|boolean

---The value, or nil.
---@param key string|number
---@return pilotlight.Scalar?
function Shared:get(key) end

---Puts a value; nil takes it away.
---@param key string|number
---@param value pilotlight.Scalar?
---@param ttl? number seconds; 0: for ever
---@return true? done
---@return string? why
function Shared:set(key, value, ttl) end

---Puts a value where there is none.
---@param key string|number
---@param value pilotlight.Scalar
---@param ttl? number
---@return true? done
---@return "exists"|string? why
function Shared:add(key, value, ttl) end

---Puts a value where there is one.
---@param key string|number
---@param value pilotlight.Scalar
---@param ttl? number
---@return true? done
---@return "not found"|string? why
function Shared:replace(key, value, ttl) end

---Adds to a number; starts from `init`, with `ttl`, where there is none.
---@param key string|number
---@param by? number 1 when there is none
---@param init? number
---@param ttl? number
---@return number? value
---@return string? why
function Shared:incr(key, by, init, ttl) end

---Takes a value away.
---@param key string|number
function Shared:delete(key) end

---Sets a new time to live; 0: for ever.
---@param key string|number
---@param ttl number
---@return true? done
---@return string? why
function Shared:expire(key, ttl) end

---Seconds left; 0: for ever.
---@param key string|number
---@return number? seconds
---@return string? why
function Shared:ttl(key) end

---Keys, at most so many.
---@param max? integer 1024 when there is none; 0: all
---@return string[]
function Shared:keys(max) end

---Takes all values away.
function Shared:flush() end

---A dictionary of `[shared]`.
---@param name string
---@return pilotlight.Shared
function gateway.shared(name) end

---A Redis server of the manifest.
---@class pilotlight.Redis
local Redis = {}

---Sends a command and waits for its reply; inside lists, false stands for nothing.
---@param ... string|number
---@return any reply
---@return string? why
function Redis:cmd(...) end

---Commands that are sent together.
---@class pilotlight.Pipeline
local Pipeline = {}

---One more command.
---@param ... string|number
function Pipeline:cmd(...) end

---Sends the commands that `fn` gives together; a list of replies, `{ err = why }` for one that was refused.
---@param fn fun(pipeline: pilotlight.Pipeline)
---@return any[]? replies
---@return string? why
function Redis:pipeline(fn) end

---A server of `[redis]`.
---@param name string
---@return pilotlight.Redis
function gateway.redis(name) end

---Lines of the log, with the request id.
gateway.log = {}

---@param message any
---@param fields? table<string, any>
function gateway.log.debug(message, fields) end

---@param message any
---@param fields? table<string, any>
function gateway.log.info(message, fields) end

---@param message any
---@param fields? table<string, any>
function gateway.log.warn(message, fields) end

---@param message any
---@param fields? table<string, any>
function gateway.log.error(message, fields) end

gateway.json = {}

---What JSON's null is read as, and written by.
---@type lightuserdata
gateway.json.null = nil

---The text of a value; an error for what JSON can't hold.
---@param value any
---@return string
function gateway.json.encode(value) end

---The value of a text.
---@param text string
---@return any value
---@return string? why
function gateway.json.decode(text) end

---Marks a table as a list, so that an empty one is written as `[]`.
---@generic T: table
---@param list? T
---@return T
function gateway.json.array(list) end

gateway.base64 = {}

---@param bytes string|number
---@return string
function gateway.base64.encode(bytes) end

---@param text string
---@return string? bytes
---@return string? why
function gateway.base64.decode(text) end

gateway.hex = {}

---@param bytes string|number
---@return string
function gateway.hex.encode(bytes) end

---@param text string
---@return string? bytes
---@return string? why
function gateway.hex.decode(text) end

gateway.url = {}

---Percent-encodes what is not safe in a URL's part.
---@param text string|number
---@return string
function gateway.url.encode(text) end

---@param text string
---@return string
function gateway.url.decode(text) end

gateway.crypto = {}

---@alias pilotlight.Hash "md5"|"sha1"|"sha224"|"sha256"|"sha384"|"sha512"
---@alias pilotlight.Algorithm "HS256"|"HS384"|"HS512"|"RS256"|"RS384"|"RS512"|"PS256"|"PS384"|"PS512"|"ES256"|"ES384"|"EdDSA"

---A digest, as bytes.
---@param hash pilotlight.Hash
---@param bytes string
---@return string
function gateway.crypto.digest(hash, bytes) end

---A digest with a key, as bytes.
---@param hash pilotlight.Hash
---@param key string
---@param bytes string
---@return string
function gateway.crypto.hmac(hash, key, bytes) end

---Unpredictable bytes.
---@param length integer
---@return string
function gateway.crypto.random(length) end

---Compares in a time that does not tell where they differ.
---@param a string
---@param b string
---@return boolean
function gateway.crypto.equal(a, b) end

---Whether a signature is right; `nil, why` when that can't be said.
---@param algorithm pilotlight.Algorithm
---@param key string|table a secret, a PEM text, a JWK or a set of them
---@param bytes string
---@param signature string
---@return boolean? right
---@return string? why
function gateway.crypto.verify(algorithm, key, bytes, signature) end

gateway.jwt = {}

---What a token must be.
---@class pilotlight.Expected
---@field algorithms? pilotlight.Algorithm|pilotlight.Algorithm[]
---@field issuer? string|string[]
---@field audience? string|string[]
---@field leeway? number seconds, on `exp` and `nbf`
---@field require? string[] claims that must be there
---@field now? number

---The claims and the head of a signed token whose claims are good, or `nil, why`.
---@param token string
---@param key string|table
---@param options? pilotlight.Expected
---@return table? claims
---@return table|string head the token's head, or why there are no claims
function gateway.jwt.verify(token, key, options) end

---A signed token.
---@param claims table
---@param key string|table
---@param options? { algorithm?: pilotlight.Algorithm, head?: table }
---@return string? token
---@return string? why
function gateway.jwt.sign(claims, key, options) end

---Claims and head, nothing checked.
---@param token string
---@return table? claims
---@return table|string head the token's head, or why there are no claims
function gateway.jwt.decode(token) end

gateway.metric = {}

---A series that grows.
---@class pilotlight.Counter
local Counter = {}

---Counts.
---@param by? number 1 when there is none
function Counter:add(by) end

---A series that goes up and down.
---@class pilotlight.Gauge
local Gauge = {}

---@param to number
function Gauge:set(to) end

---@param by? number 1 when there is none
function Gauge:add(by) end

---A series of values, counted by size.
---@class pilotlight.Histogram
local Histogram = {}

---@param value number
function Histogram:observe(value) end

---@param name string
---@param labels? table<string, string|number|boolean>
---@return pilotlight.Counter
function gateway.metric.counter(name, labels) end

---@param name string
---@param labels? table<string, string|number|boolean>
---@return pilotlight.Gauge
function gateway.metric.gauge(name, labels) end

---@param name string
---@param labels? table<string, string|number|boolean>
---@param bounds? number[] upper ends of the buckets; seconds when there are none
---@return pilotlight.Histogram
function gateway.metric.histogram(name, labels, bounds) end

gateway.re = {}

---The captures of the first match: 0 is all of it, then groups by number and name; false where one has not matched.
---@param subject string
---@param pattern string PCRE's syntax
---@param flags? string letters of `imsxauDdJ`
---@param init? integer
---@return table<integer|string, string|false>?
function gateway.re.match(subject, pattern, flags, init) end

---Where the first match begins and ends.
---@param subject string
---@param pattern string
---@param flags? string
---@param init? integer
---@return integer? from
---@return integer? to
function gateway.re.find(subject, pattern, flags, init) end

---The captures of each match.
---@param subject string
---@param pattern string
---@param flags? string
---@return fun(): table<integer|string, string|false>?
function gateway.re.gmatch(subject, pattern, flags) end

---The text with its first match replaced, and how many it were.
---@param subject string
---@param pattern string
---@param with string|fun(captures: table): string|number|false|nil
---@param flags? string
---@return string text
---@return integer count
function gateway.re.sub(subject, pattern, with, flags) end

---The text with all matches replaced, and how many it were.
---@param subject string
---@param pattern string
---@param with string|fun(captures: table): string|number|false|nil
---@param flags? string
---@return string text
---@return integer count
function gateway.re.gsub(subject, pattern, with, flags) end

---The pieces between matches.
---@param subject string
---@param pattern string
---@param flags? string
---@param max? integer
---@return string[]
function gateway.re.split(subject, pattern, flags, max) end

gateway.time = {}

---Seconds since 1970 as RFC 3339 has them.
---@param seconds? number now, when there are none
---@return string
function gateway.time.rfc3339(seconds) end

---Seconds since 1970 as HTTP has them.
---@param seconds? number now, when there are none
---@return string
function gateway.time.http(seconds) end

---Either form as seconds.
---@param text string
---@return number? seconds
---@return string? why
function gateway.time.parse(text) end

gateway.uuid = {}

---A random identifier.
---@return string
function gateway.uuid.v4() end

---One that sorts by the time it was made at.
---@return string
function gateway.uuid.v7() end
