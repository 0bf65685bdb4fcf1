return (...).part("lib/hashes")("sha256")
