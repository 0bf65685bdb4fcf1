return (...).part("lib/hashes")("sha384")
