//! pilotlight-core
