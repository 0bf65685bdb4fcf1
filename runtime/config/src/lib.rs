//! pilotlight-config
