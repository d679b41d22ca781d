# default
package.platform = "debian"
# default
package.options = nil

# /etc/milter-manager/defaults/debian.conf:5
security.privilege_mode = true
# default
security.effective_user = nil
# default
security.effective_group = nil

# default
log.level = "default"
# default
log.path = nil
# default
log.use_syslog = true
# default
log.syslog_facility = "mail"

# default
manager.connection_spec = "unix:/run/milter-manager/milter-manager.sock"
# default
manager.unix_socket_mode = 0660
# default
manager.unix_socket_group = nil
# default
manager.remove_unix_socket_on_create = true
# default
manager.remove_unix_socket_on_close = true
# default
manager.daemon = false
# default
manager.pid_file = nil
# default
manager.maintenance_interval = 10
# default
manager.suspend_time_on_unacceptable = 5
# default
manager.max_connections = 0
# default
manager.max_file_descriptors = 0
# default
manager.custom_configuration_directory = nil
# default
manager.fallback_status = "accept"
# default
manager.fallback_status_at_disconnect = "temporary-failure"
# default
manager.event_loop_backend = "glib"
# default
manager.n_workers = 0
# default
manager.packet_buffer_size = 0
# default
manager.connection_check_interval = 0
# default
manager.chunk_size = 65535
# default
manager.max_pending_finished_sessions = 0

# default
controller.connection_spec = nil
# default
controller.unix_socket_mode = 0660
# default
controller.unix_socket_group = nil
# default
controller.remove_unix_socket_on_create = true
# default
controller.remove_unix_socket_on_close = true

# default
database.type = nil
# default
database.name = nil
# default
database.host = nil
# default
database.port = nil
# default
database.path = nil
# default
database.user = nil
# default
database.password = nil

# /etc/milter-manager/applicable-conditions/0.conf:20
define_applicable_condition("S25R") do |condition|
  # /etc/milter-manager/applicable-conditions/0.conf:21
  condition.description = "Selective SMTP Rejection"
end

# /etc/milter-manager/applicable-conditions/1.conf:20
define_applicable_condition("Remote Network") do |condition|
  # /etc/milter-manager/applicable-conditions/1.conf:21
  condition.description = "Check only remote network"
end

# /etc/milter-manager/applicable-conditions/2.conf:20
define_applicable_condition("Authenticated") do |condition|
  # /etc/milter-manager/applicable-conditions/2.conf:21
  condition.description = "Check only authenticated"
end

# /etc/milter-manager/applicable-conditions/3.conf:20
define_applicable_condition("Unauthenticated") do |condition|
  # /etc/milter-manager/applicable-conditions/3.conf:21
  condition.description = "Check only unauthenticated"
end

# /etc/milter-manager/applicable-conditions/4.conf:20
define_applicable_condition("Sendmail Compatible") do |condition|
  # /etc/milter-manager/applicable-conditions/4.conf:21
  condition.description = "Make macros compatible"
end

# /etc/milter-manager/applicable-conditions/5.conf:20
define_applicable_condition("Stress Notify") do |condition|
  # /etc/milter-manager/applicable-conditions/5.conf:21
  condition.description = "Notify stress by a macro"
end

# /etc/milter-manager/applicable-conditions/6.conf:20
define_applicable_condition("No Stress") do |condition|
  # /etc/milter-manager/applicable-conditions/6.conf:21
  condition.description = "Check only when there is no stress"
end

# /etc/milter-manager/applicable-conditions/7.conf:20
define_applicable_condition("Trust") do |condition|
  # /etc/milter-manager/applicable-conditions/7.conf:21
  condition.description = "Set macros of trusted sessions"
end

# /etc/milter-manager/defaults/debian.conf:66
define_milter("milter-greylist") do |milter|
  # detected
  milter.connection_spec = "unix:/run/milter-greylist/milter-greylist.sock"
  # detected
  milter.description = nil
  # detected
  milter.enabled = true
  # default
  milter.fallback_status = "accept"
  # default
  milter.evaluation_mode = false
  milter.applicable_conditions = [
    # /etc/milter-manager/defaults/debian.conf:70
    "Sendmail Compatible",
    # /etc/milter-manager/defaults/debian.conf:70
    "Stress Notify",
    # /etc/milter-manager/defaults/debian.conf:70
    "Trust",
    # /etc/milter-manager/defaults/debian.conf:70
    "Remote Network",
    # /etc/milter-manager/defaults/debian.conf:70
    "S25R",
    # /etc/milter-manager/defaults/debian.conf:70
    "Unauthenticated",
  ]
  # detected
  milter.command = "/usr/bin/systemctl"
  # detected
  milter.command_options = "start milter-greylist"
  # default
  milter.user_name = nil
  # default
  milter.connection_timeout = 297.0
  # default
  milter.writing_timeout = 7.0
  # default
  milter.reading_timeout = 7.0
  # default
  milter.end_of_message_timeout = 297.0
end

# /etc/milter-manager/defaults/debian.conf:66
define_milter("clamav-milter") do |milter|
  # detected
  milter.connection_spec = "unix:/var/run/clamav/clamav-milter.ctl"
  # detected
  milter.description = "antivirus milter for clamav"
  # detected
  milter.enabled = true
  # default
  milter.fallback_status = "accept"
  # default
  milter.evaluation_mode = false
  # default
  milter.applicable_conditions = []
  # detected
  milter.command = "/usr/bin/systemctl"
  # detected
  milter.command_options = "start clamav-milter"
  # default
  milter.user_name = nil
  # default
  milter.connection_timeout = 297.0
  # default
  milter.writing_timeout = 7.0
  # default
  milter.reading_timeout = 7.0
  # default
  milter.end_of_message_timeout = 297.0
end

# /etc/milter-manager/defaults/debian.conf:66
define_milter("opendkim") do |milter|
  # detected
  milter.connection_spec = "unix:/run/opendkim/opendkim.sock"
  # detected
  milter.description = "OpenDKIM Milter"
  # detected
  milter.enabled = true
  # default
  milter.fallback_status = "accept"
  # default
  milter.evaluation_mode = false
  # default
  milter.applicable_conditions = []
  # detected
  milter.command = "/usr/bin/systemctl"
  # detected
  milter.command_options = "start opendkim"
  # default
  milter.user_name = nil
  # default
  milter.connection_timeout = 297.0
  # default
  milter.writing_timeout = 7.0
  # default
  milter.reading_timeout = 7.0
  # default
  milter.end_of_message_timeout = 297.0
end

# /etc/milter-manager/defaults/debian.conf:66
define_milter("spamass-milter") do |milter|
  # detected
  milter.connection_spec = "unix:/var/spool/postfix/spamass/spamass.sock"
  # detected
  milter.description = "milter for spamassassin"
  # detected
  milter.enabled = true
  # default
  milter.fallback_status = "accept"
  # default
  milter.evaluation_mode = false
  milter.applicable_conditions = [
    # /etc/milter-manager/defaults/debian.conf:70
    "Remote Network",
    # /etc/milter-manager/defaults/debian.conf:70
    "Unauthenticated",
    # /etc/milter-manager/defaults/debian.conf:70
    "No Stress",
  ]
  # detected
  milter.command = "/usr/bin/systemctl"
  # detected
  milter.command_options = "start spamass-milter"
  # default
  milter.user_name = nil
  # default
  milter.connection_timeout = 297.0
  # default
  milter.writing_timeout = 7.0
  # default
  milter.reading_timeout = 7.0
  # default
  milter.end_of_message_timeout = 297.0
end

# /etc/milter-manager/defaults/debian.conf:66
define_milter("rspamd") do |milter|
  # detected
  milter.connection_spec = "inet:11332@localhost"
  # detected
  milter.description = "rapid spam filtering system"
  # detected
  milter.enabled = false
  # default
  milter.fallback_status = "accept"
  # default
  milter.evaluation_mode = false
  milter.applicable_conditions = [
    # /etc/milter-manager/defaults/debian.conf:70
    "Remote Network",
    # /etc/milter-manager/defaults/debian.conf:70
    "Unauthenticated",
    # /etc/milter-manager/defaults/debian.conf:70
    "No Stress",
  ]
  # detected
  milter.command = "/usr/bin/systemctl"
  # detected
  milter.command_options = "start rspamd"
  # default
  milter.user_name = nil
  # default
  milter.connection_timeout = 297.0
  # default
  milter.writing_timeout = 7.0
  # default
  milter.reading_timeout = 7.0
  # default
  milter.end_of_message_timeout = 297.0
end
