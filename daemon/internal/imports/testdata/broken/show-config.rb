define_milter("a") do |milter|
  milter.connection_spec = "unix:/run/a.sock
  milter.connection_spec = "unix:/run/a.sock"
  milter.fallback_status = "shrug"
  milter.conection_timeout = 3
  milter.reading_timeout = "soon"
  milter.add_applicable_condition("Mine")
end
define_milter("b") do |milter|
end
define_applicable_condition("Mine") do |condition|
  condition.define_connect_stopper do |context, host, address|
    if host == "x" then
      true
    end
  end
end
if package.platform == "debian"
  load("x")
end
trust.add_envelope_from_domain("example.com")
s25r.add_whitelist(/\.example\.com\z/)
define_milter("c") do |milter|
  milter.connection_spec = "inet:10026@[127.0.0.1]"
  milter.add_applicable_condition("S25R")
  milter.evaluation_mode = true
  milter.reading_timeout = 30.5
end
