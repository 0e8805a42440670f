// libpqxx: what a session looks like. g++ compare.cxx -lpqxx -lpq; ./a.out clear|masked, the login in libpq's variables.

#include <cstring>
#include <functional>
#include <iostream>
#include <pqxx/pqxx>

static void told(const pqxx::result &rows) {
    std::cout << "  " << rows.size() << " of " << rows.affected_rows() << "\n";
    for (pqxx::row_size_type n = 0; n < rows.columns(); ++n) std::cout << "  " << rows.column_name(n) << ":" << rows.column_type(n) << "\n";
    for (const auto &row : rows) {
        for (const auto &cell : row) std::cout << "  " << (cell.is_null() ? "NULL" : cell.c_str());
        std::cout << "\n";
    }
}

static void ask(const char *what, const std::function<void()> &doing) {
    std::cout << what << "\n";
    try {
        doing();
    } catch (const pqxx::sql_error &error) {
        std::cout << "  " << error.sqlstate() << " " << error.what() << "\n";
    } catch (const pqxx::failure &error) {
        std::cout << "  " << error.what() << "\n";
    }
}

int main(int, char **words) {
    pqxx::connection db;
    ask("rows", [&] { pqxx::work w(db); told(w.exec_params("SELECT * FROM patients WHERE id < $1 ORDER BY id", 4)); });
    db.prepare("one", "SELECT p.ssn, e.notes FROM patients p JOIN encounters e ON e.patient = p.id WHERE e.id = $1");
    ask("prepared", [&] { pqxx::work w(db); told(w.exec_prepared("one", 3)); told(w.exec_prepared("one", 4)); });
    ask("cursor", [&] {
        pqxx::work w(db);
        pqxx::stateless_cursor<pqxx::cursor_base::read_only, pqxx::cursor_base::owned> cursor(w, "SELECT id, ssn FROM patients ORDER BY id", "c", false);
        told(cursor.retrieve(10, 13));
        std::cout << "  " << cursor.size() << "\n";
    });
    ask("pipeline", [&] {
        pqxx::work w(db);
        pqxx::pipeline pipe(w);
        pipe.retain(3);
        const auto first = pipe.insert("SELECT ssn FROM patients WHERE id = 1"), second = pipe.insert("SELECT 2"), third = pipe.insert("SELECT dob FROM patients WHERE id = 2");
        for (auto id : {first, second, third}) told(pipe.retrieve(id));
    });
    ask("pipeline that fails", [&] {
        pqxx::work w(db);
        pqxx::pipeline pipe(w);
        pipe.retain(2);
        const auto first = pipe.insert("SELECT 1"), second = pipe.insert("SELECT 1/0");
        told(pipe.retrieve(first));
        told(pipe.retrieve(second));
    });
    ask("copy out", [&] {
        pqxx::work w(db);
        pqxx::stream_from reader(w, "patients");
        std::string line;
        while (reader.get_raw_line(line)) std::cout << "  " << line << "\n";
        reader.complete();
    });
    ask("nowhere", [&] { pqxx::work w(db); told(w.exec("SELECT * FROM nowhere")); });
    if (!std::strcmp(words[1], "clear")) {
        ask("copy in", [&] {
            pqxx::work w(db);
            w.exec("CREATE TEMP TABLE filled (a int, b text)");
            {
                pqxx::stream_to writer(w, "filled");
                for (int n = 0; n < 2000; ++n) writer << std::make_tuple(n, "line");
                writer.complete();
            }
            told(w.exec("SELECT count(*), sum(a) FROM filled"));
        });
        ask("inner", [&] {
            pqxx::work w(db);
            ask("failing", [&] { pqxx::subtransaction inner(w); inner.exec("INSERT INTO wards VALUES (1, 'again', 2)"); });
            told(w.exec("SELECT count(*) FROM wards"));
        });
        ask("again and again", [&] { pqxx::perform([&] { pqxx::work w(db); told(w.exec("SELECT sum(beds) FROM wards")); w.commit(); }); });
        ask("large", [&] {
            pqxx::work w(db);
            pqxx::largeobjectaccess large(w);
            large.write(std::string(50000, 'x'));
            large.seek(49990, std::ios::beg);
            char got[64];
            std::cout << "  " << large.read(got, sizeof got) << "\n";
            large.remove(w);
        });
        ask("cancelled", [&] { pqxx::nontransaction w(db); w.exec("SET statement_timeout = 100"); told(w.exec("SELECT pg_sleep(30)")); });
    }
    std::cout << "end\n";
}
