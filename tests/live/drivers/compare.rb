# Ruby's pg: says what a session looks like. ruby compare.rb clear|masked, the login in libpq's variables.

require "pg"

FIELDS = %w[SEVERITY SQLSTATE MESSAGE_PRIMARY MESSAGE_DETAIL MESSAGE_HINT STATEMENT_POSITION CONTEXT SCHEMA_NAME TABLE_NAME COLUMN_NAME CONSTRAINT_NAME]
  .to_h { |name| [name, PG.const_get("PG_DIAG_#{name}")] }
$stdout.sync = true
DB = PG.connect

def said(result)
  fields = (0...result.nfields).map { |n| "#{result.fname(n)}:#{result.ftype(n)}:#{result.fmod(n)}:#{result.fformat(n)}:#{result.ftable(n) != 0}" }
  puts "  #{result.res_status(result.result_status)} #{result.cmd_status} #{fields.join(" ")}"
  result.each_row { |row| puts "  #{row.map(&:inspect).join("|")}" }
end

def told(error)
  found = error.respond_to?(:result) && error.result
  said = found ? FIELDS.map { |name, code| "#{name}=#{found.error_field(code).inspect}" }.join(" ") : error.message
  puts "  #{error.class} #{said} #{DB.transaction_status}"
end

def ask(what)
  puts what
  yield
rescue PG::Error => error
  told(error)
end

def every_way(text, values = [])
  ask("exec #{text}") { said(DB.exec_params(text, values)) }
  ask("binary #{text}") { said(DB.exec_params(text, values, 1)) }
  ask("prepared #{text}") do
    DB.prepare("one", text)
    said(DB.describe_prepared("one"))
    2.times { said(DB.exec_prepared("one", values)) }
  ensure
    DB.exec("DEALLOCATE ALL") if DB.transaction_status != PG::PQTRANS_INERROR
  end
end

def pipelined(*texts)
  DB.enter_pipeline_mode
  texts.each { |text, values| DB.send_query_params(text, values || []) }
  DB.pipeline_sync
  loop do
    result = DB.get_result
    next if result.nil? && (result = DB.get_result).nil?
    begin
      result.check
      said(result)
    rescue PG::Error => error
      told(error)
    end
    break if result.result_status == PG::PGRES_PIPELINE_SYNC
  end
  DB.exit_pipeline_mode
end

def single_rows(text)
  DB.send_query(text)
  DB.set_single_row_mode
  while (result = DB.get_result)
    said(result)
  end
end

def common
  every_way("SELECT id, name, ssn, dob FROM patients WHERE id < $1 ORDER BY id", [4])
  every_way("SELECT p, row_to_json(p) FROM patients p WHERE id = $1", [2])
  every_way("SELECT notes FROM encounters ORDER BY id LIMIT 2")
  ask("single rows") { single_rows("SELECT id, ssn FROM patients ORDER BY id LIMIT 3") }
  ask("two") { said(DB.exec("SELECT 1; SELECT ssn FROM patients WHERE id = 5")) }
  ask("pipeline") { pipelined(["SELECT ssn FROM patients WHERE id = $1", [1]], ["SELECT 1/0"], ["SELECT 2"]) }
  ask("copied") do
    DB.copy_data("COPY (SELECT * FROM patients ORDER BY id LIMIT 3) TO STDOUT") { while (row = DB.get_copy_data) do puts "  #{row}" end }
  end
  ask("nowhere") { DB.exec("SELECT * FROM nowhere") }
end

def whole
  every_way("SELECT * FROM shapes ORDER BY i")
  DB.set_notice_receiver { |result| puts "  notice #{FIELDS.map { |name, code| "#{name}=#{result.error_field(code).inspect}" }.join(" ")}" }
  ask("notice") { said(DB.exec("SELECT say('this')")) }
  ask("unique") { DB.exec("INSERT INTO wards VALUES (1, 'again', 3)") }
  ask("check") { DB.exec_params("INSERT INTO wards VALUES ($1, $2, $3)", [9, "nine", -1]) }
  ask("transaction") do
    DB.transaction do
      said(DB.exec("INSERT INTO wards VALUES (7, 'seven', 7) RETURNING id"))
      ask("inside") { DB.exec("SELECT 1/0") }
      DB.exec("SELECT 1")
    end
  end
  ask("rows") { said(DB.exec("SELECT count(*) FROM wards")) }
  DB.exec("CREATE TEMP TABLE filled (a int, b text)")
  ask("filled") { DB.copy_data("COPY filled FROM STDIN") { 3000.times { |n| DB.put_copy_data("#{n}\tline #{n}\n") } } ; said(DB.exec("SELECT count(*), sum(a) FROM filled")) }
  ask("broken off") { DB.copy_data("COPY filled FROM STDIN") { DB.put_copy_data("1\tx\n"); raise PG::Error, "enough" } }
  ask("wrong") { DB.copy_data("COPY filled FROM STDIN") { DB.put_copy_data("x\ty\n") } }
  ask("heard") do
    DB.exec("LISTEN ears")
    DB.exec("NOTIFY ears, 'words'")
    DB.wait_for_notify(10) { |channel, pid, words| puts "  #{channel} #{pid == DB.backend_pid} #{words}" }
  end
  ask("cancelled") do
    DB.send_query("SELECT pg_sleep(60)")
    puts "  #{DB.cancel.inspect}"
    DB.get_last_result
  end
  ask("pipeline in a transaction") { pipelined(["BEGIN"], ["INSERT INTO wards VALUES (6, 'six', 6)"], ["SELECT 1/0"], ["COMMIT"]) }
  puts DB.transaction_status
  DB.exec("ROLLBACK")
  ask("large") { DB.transaction { large = DB.lo_creat; open = DB.lo_open(large, PG::INV_WRITE | PG::INV_READ); DB.lo_write(open, "x" * 70_000); DB.lo_seek(open, 69_990, PG::SEEK_SET); puts "  #{DB.lo_read(open, 100)}"; DB.lo_close(open); DB.lo_unlink(large) } }
  ask("encoding") { DB.set_client_encoding("LATIN1"); said(DB.exec("SELECT t FROM shapes WHERE i = 1")); DB.set_client_encoding("UTF8") }
  ask("empty") { said(DB.exec("")) }
  ask("reset") { DB.reset; said(DB.exec("SELECT 1")) }
end

common
whole if ARGV[0] == "clear"
puts "end"
