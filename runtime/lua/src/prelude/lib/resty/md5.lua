return (...).part("lib/hashes")("md5")
