local kit = require "kit"
local equal, fails = kit.equal, kit.fails
local resolver = kit.lib("dns", "dns.resolver")
local port = kit.peers.names.port

local function made(options)
  options = options or {}
  options.nameservers = options.nameservers or { { "127.0.0.1", port } }
  options.timeout = options.timeout or 2000
  return assert(resolver:new(options))
end

return {
  { "records of all kinds", function()
    local names = made()
    local answers = assert(names:query("one.test"))
    equal({ #answers, answers[1].address, answers[1].type, answers[1].ttl, answers[1].name },
      { 1, "192.0.2.1", names.TYPE_A, 60, "one.test" })
    equal(#assert(names:query("two.test", { qtype = names.TYPE_A })), 2)
    answers = assert(names:query("alias.test"))
    equal({ answers[1].cname, answers[2].address }, { "one.test", "192.0.2.1" })
    equal(assert(names:query("six.test", { qtype = names.TYPE_AAAA }))[1].address, "2001:db8:0:0:0:0:0:1")
    answers = assert(names:query("mail.test", { qtype = names.TYPE_MX }))
    equal({ answers[1].preference, answers[1].exchange }, { 10, "one.test" })
    equal(assert(names:query("text.test", { qtype = names.TYPE_TXT }))[1].txt, { "hello", "world" })
    answers = assert(names:query("_http._tcp.test", { qtype = names.TYPE_SRV }))
    equal({ answers[1].priority, answers[1].weight, answers[1].port, answers[1].target }, { 1, 5, 8080, "one.test" })
    answers = assert(names:reverse_query("192.0.2.1"))
    equal(answers[1].ptrdname, "one.test")
  end },
  { "names that are not there, and failures", function()
    local names = made()
    local answers = assert(names:query("none.test"))
    equal({ answers.errcode, answers.errstr }, { 3, "name error" })
    answers = assert(names:query("broken.test"))
    equal({ answers.errcode, answers.errstr }, { 2, "server failure" })
    fails("~bad name", names:query(".one.test"))
  end },
  { "an answer too long for UDP", function()
    equal(#assert(made():query("many.test")), 300)
    equal(#assert(made():tcp_query("many.test")), 300)
  end },
  { "a server that is silent", function()
    local names = made({ timeout = 100, retrans = 3 })
    local answers, why, tries = names:query("silent.test", nil, {})
    fails("~timeout", answers, why)
    equal(kit.ask "seen silent.test", "3")
    equal(#assert(names:query("one.test")), 1)
  end },
  { "the next server when one is not there", function()
    local names = made({ nameservers = { { "127.0.0.1", 1 }, { "127.0.0.1", port } }, timeout = 200, no_random = true })
    equal(#assert(names:query("one.test")), 1)
  end },
}
