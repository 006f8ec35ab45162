# A host for suite.txt: Ruby's sqlite3 gem.
#   host.rb <extension> <suite>
require 'sqlite3'

EXTENSION, SUITE = ARGV

def open_connection(file)
  db = SQLite3::Database.new(file)
  db.enable_load_extension(true)
  db.load_extension(EXTENSION)
  db
end

def value_of(type, text)
  case type
  when 'text' then text
  when 'integer' then text.to_i
  when 'blob' then SQLite3::Blob.new([text].pack('H*'))
  end
end

def run(db, sql, parameters, show)
  db.prepare(sql) do |statement|
    parameters.each { |name, value| statement.bind_param(name, value) }
    statement.each { |row| puts '= ' + row.map(&show).join('|') }
  end
rescue SQLite3::Exception => e
  puts "! #{e.message}"
end

in_hex = ->(value) { value.unpack1('H*') }
shown = ->(value) { value.nil? ? 'NULL' : value.to_s }
connections = {}
current = nil
parameters = {}
File.foreach(SUITE, chomp: true, encoding: 'UTF-8') do |line|
  next if line.start_with?('=', '!')

  puts line
  command, rest = line.split(' ', 2)
  words = (rest || '').split(' ', 3)
  case command
  when 'open' then connections[current = words[0]] = open_connection(words[1])
  when 'on' then current = words[0]
  when 'close' then connections.delete(words[0]).close
  when 'bind' then parameters[words[0]] = value_of(words[1], words[2] || '')
  when 'sql', 'once', 'hex'
    run(connections[current], rest, parameters, command == 'hex' ? in_hex : shown)
    parameters = {}
  end
end
library = SQLite3::Database.new(':memory:').get_first_value('SELECT sqlite_version()')
warn "Ruby sqlite3 #{SQLite3::VERSION}, SQLite #{library}"
