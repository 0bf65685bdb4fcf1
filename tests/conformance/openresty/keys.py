"""Which key of the manifest says what a setting of nginx says."""
from __future__ import annotations

import os

import units
from adapters.base import Untranslatable

# Settings that change nothing a block can see here, or only what the harness has its own way for.
SILENT = set("""
lua_code_cache lua_malloc_trim lua_sa_restart lua_socket_async_write rewrite_by_lua_no_postpone
access_by_lua_no_postpone precontent_by_lua_no_postpone lua_thread_cache_max_entries
lua_worker_thread_vm_pool_size lua_load_resty_core lua_ssl_key_log
access_log error_log log_format log_subrequest env keepalive_requests lingering_close lingering_time
lingering_timeout client_body_temp_path client_body_in_single_buffer tcp_nodelay tcp_nopush sendfile
sendfile_max_chunk aio directio output_buffers postpone_output reset_timedout_connection events
ignore_invalid_headers underscores_in_headers worker_connections worker_processes master_process
server_names_hash_bucket_size variables_hash_max_size variables_hash_bucket_size types_hash_max_size
daemon pid worker_rlimit_core working_directory worker_shutdown_timeout debug_connection accept_mutex
timer_resolution proxy_temp_path pcre_jit rewrite_log uninitialized_variable_warn connection_pool_size
request_pool_size proxy_buffering proxy_buffers proxy_buffer_size proxy_busy_buffers_size
proxy_http_version proxy_ignore_client_abort proxy_max_temp_file_size proxy_ssl_session_reuse
proxy_ssl_protocols proxy_ssl_ciphers proxy_ssl_conf_command proxy_request_buffering proxy_socket_keepalive
ssl_protocols ssl_ciphers ssl_session_tickets ssl_session_cache ssl_session_timeout ssl_early_data
ssl_prefer_server_ciphers ssl_dhparam ssl_ecdh_curve server_tokens resolver resolver_timeout root index
default_type types include more_clear_headers add_header proxy_set_header lua_need_request_body
keepalive_timeout client_header_buffer_size large_client_header_buffers client_header_timeout
client_body_timeout send_timeout client_max_body_size proxy_connect_timeout proxy_read_timeout
proxy_send_timeout proxy_ssl_certificate proxy_ssl_certificate_key proxy_ssl_verify proxy_ssl_name
proxy_ssl_trusted_certificate proxy_ssl_server_name proxy_ssl_verify_depth ssl_certificate
ssl_certificate_key ssl_client_certificate ssl_verify_client ssl_trusted_certificate ssl_verify_depth
deny allow error_page thread_pool lua_max_pending_timers lua_max_running_timers
lua_regex_cache_max_entries lua_regex_match_limit lua_capture_error_log lua_shared_dict lua_package_path
if_modified_since etag merge_slashes port_in_redirect absolute_redirect server_name_in_redirect
chunked_transfer_encoding recursive_error_pages charset_types max_ranges http2 proxy_intercept_errors
proxy_next_upstream_timeout zone keepalive keepalive_pool server
""".split())


def path(ctx, name):
    """nginx looks for certificates beside its configuration file."""
    return os.path.normpath(os.path.join(ctx.root, "conf", name))


# A directive of a location -> a key below `[filters.NAME] openresty`, and how its value is written.
OF_FILTER = {
    "default_type": ("default_type", lambda c, a: a[0]),
    "lua_use_default_type": ("use_default_type", lambda c, a: units.flag(a[0])),
    "lua_check_client_abort": ("check_client_abort", lambda c, a: units.flag(a[0])),
    "lua_http10_buffering": ("http10_buffering", lambda c, a: units.flag(a[0])),
    "lua_transform_underscores_in_response_headers":
        ("header_underscores", lambda c, a: not units.flag(a[0])),
    "client_body_in_file_only": ("body_in_file", lambda c, a: a[0] != "off"),
    "client_body_buffer_size": ("body_buffer", lambda c, a: units.size(a[0])),
    "lua_socket_connect_timeout": ("socket.connect_timeout", lambda c, a: units.time(a[0])),
    "lua_socket_send_timeout": ("socket.send_timeout", lambda c, a: units.time(a[0])),
    "lua_socket_read_timeout": ("socket.read_timeout", lambda c, a: units.time(a[0])),
    "lua_socket_keepalive_timeout": ("socket.keepalive_timeout", lambda c, a: units.time(a[0])),
    "lua_socket_pool_size": ("socket.pool_size", lambda c, a: int(a[0])),
    "lua_socket_buffer_size": ("socket.buffer_size", lambda c, a: units.size(a[0])),
    "lua_socket_log_errors": ("socket.log_errors", lambda c, a: units.flag(a[0])),
    "lua_ssl_trusted_certificate": ("ssl.ca", lambda c, a: path(c, a[0])),
    "lua_ssl_crl": ("ssl.crl", lambda c, a: path(c, a[0])),
    "lua_ssl_certificate": ("ssl.certificate", lambda c, a: path(c, a[0])),
    "lua_ssl_certificate_key": ("ssl.key", lambda c, a: path(c, a[0])),
    "lua_ssl_verify_depth": ("ssl.verify_depth", lambda c, a: int(a[0])),
    "lua_ssl_protocols": ("ssl.protocols", lambda c, a: list(a)),
    "lua_ssl_ciphers": ("ssl.ciphers", lambda c, a: a[0]),
}

# The same of the whole process -> a key below `[lua]`.
OF_PROCESS = {
    "lua_max_pending_timers": ("timers.pending", lambda a: int(a[0])),
    "lua_max_running_timers": ("timers.running", lambda a: int(a[0])),
    "lua_regex_cache_max_entries": ("regex.cache", lambda a: int(a[0])),
    "lua_regex_match_limit": ("regex.match_limit", lambda a: int(a[0])),
    "lua_capture_error_log": ("capture_log", lambda a: units.size(a[0])),
}

# Tuning that a gateway may do without: left out where its schema has no such key.
OPTIONAL = {
    "body_buffer", "buffer_size", "verify_depth", "protocols", "ciphers", "http10_buffering", "cache",
}


def put(table, dotted, value):
    *parents, last = dotted.split(".")
    for name in parents:
        table = table.setdefault(name, {})
    table[last] = value


def check(options):
    """Refuses a setting that nothing here would carry over."""
    for name, *args in options:
        off = args and args[0] == "off"
        if name not in SILENT and name not in OF_FILTER and name not in OF_PROCESS and not off:
            raise Untranslatable(f"directive {name}")


def settings(ctx, option):
    """What stands below `openresty` beside the phases; `option` finds a directive's arguments."""
    table = {}
    for directive, (key, value) in OF_FILTER.items():
        given = option(directive)
        if given is not None:
            put(table, key, value(ctx, given))
    return table
