-- What libraries want in each worker as it starts.
local kit = require "kit"
if kit.peers.place.healthcheck then
  assert(require "resty.worker.events".configure({ shm = "events", interval = 0.1 }))
end
