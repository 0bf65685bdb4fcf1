local kit = require "kit"
local equal, fails = kit.equal, kit.fails
local producer = kit.lib("kafka", "kafka.producer")
local client = kit.lib("kafka", "kafka.client")
local peers = kit.peers
local modern = pcall(kit.lib, "kafka", "kafka.basic-consumer")

local brokers = { { host = "127.0.0.1", port = peers.kafka.port } }
local sasl = { mechanism = "PLAIN", user = "app", password = "secret" }

return {
  { "metadata", function()
    local cli = client:new(brokers)
    local found, partitions = cli:fetch_metadata("dogs")
    if modern then found, partitions = assert(found), assert(partitions) end
    equal({ found[7].host, found[7].port, partitions.num }, { "127.0.0.1", peers.kafka.port, 2 })
  end },
  { "messages, one by one", function()
    local one = producer:new(brokers)
    for n = 0, 2 do
      local offset, why = one:send("single", "key", "message " .. n)
      -- What it gives is the offset behind the message.
      equal({ tonumber(offset), why }, { n + 1 })
    end
    local offset = one:send("single", "key", ("x"):rep(100000))
    equal(tonumber(offset), 4)
    fails("~not found", one:send("missing", "key", "message"))
  end },
  { "messages that are gathered", function()
    local many = producer:new(brokers, { producer_type = "async", batch_num = 50, flush_time = 50 })
    for n = 1, 200 do equal(many:send("gathered", nil, "message " .. n), true) end
    kit.till("all messages", function()
      return tonumber(kit.ask "messages gathered") == 200
    end)
  end },
  modern and { "messages that are read", function()
    local consumer = kit.lib("kafka", "kafka.basic-consumer"):new(brokers)
    local partition = ngx.crc32_long("key") % 2
    local protocol = kit.lib("kafka", "kafka.protocol.consumer")
    equal(consumer:list_offset("single", partition, protocol.LIST_OFFSET_TIMESTAMP_LAST), "4LL")
    local found = assert(consumer:fetch("single", partition, 1))
    equal({ #found.records, found.records[1].value, found.records[1].key, tonumber(found.records[1].offset) },
      { 3, "message 1", "key", 1 })
    equal(#found.records[3].value, 100000)
  end },
  modern and { "signing in", function()
    local broker = { host = "127.0.0.1", port = peers.kafka_sasl.port, sasl_config = sasl }
    equal(tonumber((assert(producer:new({ broker }):send("secret", "key", "message")))), 1)
    -- Its connections are kept without regard to who has signed in.
    broker.port = kit.relay(broker.port, "close", 10000)
    broker.sasl_config = { mechanism = "PLAIN", user = "app", password = "other" }
    fails("~not found", producer:new({ broker }):send("secret", "key", "message"))
  end },
  { "brokers that are not there", function()
    fails("~not found", producer:new({ { host = "127.0.0.1", port = 1 } }):send("dogs", "key", "message"))
    local stalled = { host = "127.0.0.1", port = kit.relay(peers.kafka.port, "stall", 20) }
    fails("~not found", producer:new({ stalled }, { socket_timeout = 100 }):send("dogs", "key", "message"))
    equal(tonumber((assert(producer:new({ stalled, brokers[1] }, { socket_timeout = 100 }):send("dogs", "k", "m")))), 1)
  end },
}
