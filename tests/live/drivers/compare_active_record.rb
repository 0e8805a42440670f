# ActiveRecord: what models, migrations and their queries look like. ruby compare_active_record.rb clear|masked, the login in libpq's variables.

require "active_record"

$stdout.sync = true
ActiveRecord::Base.establish_connection(
  adapter: "postgresql", host: ENV["PGHOST"], port: ENV["PGPORT"], username: ENV["PGUSER"], password: ENV["PGPASSWORD"], database: ENV["PGDATABASE"],
  prepared_statements: ENV["PREPARED"] != "no"
)
DB = ActiveRecord::Base.connection

class Patient < ActiveRecord::Base
  has_many :encounters, foreign_key: "patient"
end

class Encounter < ActiveRecord::Base
  belongs_to :of, class_name: "Patient", foreign_key: "patient"
end

class Ward < ActiveRecord::Base; end

def say(what)
  puts "#{what}: #{yield.inspect}"
rescue ActiveRecord::ActiveRecordError => error
  puts "#{what}: #{error.class} #{error.message.lines.first} #{error.cause.class}"
end

say("tables") { DB.tables.sort }
say("views") { DB.views.sort }
%w[patients encounters wards].each do |table|
  say("columns") { DB.columns(table).map { |c| [c.name, c.sql_type, c.null, c.default] } }
  say("indexes") { DB.indexes(table).map { |i| [i.name, i.columns, i.unique, i.where] } }
  say("keys") { [DB.primary_key(table), DB.foreign_keys(table).map { |k| [k.from_table, k.to_table, k.column] }] }
end
2.times { say("find") { Patient.find(3).attributes } }
say("where") { Patient.where(id: [1, 2, 5]).order(:id).pluck(:id, :ssn, :dob) }
say("by name") { Patient.find_by(name: "patient 7")&.attributes }
say("joined") { Encounter.joins(:of).includes(:of).order(:id).limit(3).map { |e| [e.id, e.notes, e.of.ssn] } }
say("grouped") { Encounter.group(:patient).order(:patient).limit(3).count }
say("exists") { [Patient.exists?(4), Ward.where("beds > ?", 15).count, Ward.maximum(:beds)] }
say("batches") { Patient.find_each(batch_size: 20).map(&:ssn).uniq.size }
say("missing") { Patient.find(999) }
say("wrong") { DB.select_all("SELECT nothing FROM nowhere").to_a }

if ARGV[0] == "clear"
  say("explained") { Ward.where(id: 1).explain.lines.size }
  say("transaction") do
    Ward.transaction do
      Ward.create!(id: 8, name: "eight", beds: 8)
      say("inner") { Ward.transaction(requires_new: true) { Ward.create!(id: 9, name: "eight", beds: 1) } }
      say("count") { Ward.count }
      raise ActiveRecord::Rollback
    end
  end
  say("check") { Ward.create!(id: 9, name: "nine", beds: -1) }
  say("lock") { Ward.transaction { Ward.lock.find(1).name } }
  say("saved") { ward = Ward.find(2); ward.update!(beds: 21); ward.update!(beds: 20); ward.reload.beds }
  say("upsert") { Ward.upsert_all([{ id: 3, name: "east", beds: 30 }]).rows }
  say("migrated") do
    DB.create_table(:made, force: true) { |t| t.string :name, index: { unique: true }; t.jsonb :facts; t.references :ward, foreign_key: true, type: :integer; t.timestamps }
    DB.add_column(:made, :more, :decimal, precision: 8, scale: 2)
    DB.add_index(:made, :more, where: "more > 0")
    DB.columns(:made).map { |c| [c.name, c.sql_type] }
  ensure
    DB.drop_table(:made, if_exists: true)
  end
  say("advisory") { [DB.get_advisory_lock(77), DB.release_advisory_lock(77)] }
  say("reconnected") { DB.reconnect!; DB.active? }
end
puts "end"
