//! pilotlight-lua
