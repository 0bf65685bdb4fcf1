return (...).part("lib/hashes")("sha224")
