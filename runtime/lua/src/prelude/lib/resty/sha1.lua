return (...).part("lib/hashes")("sha1")
