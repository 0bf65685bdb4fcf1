//! pilotlight-wasm
