//! pilotlight-server
