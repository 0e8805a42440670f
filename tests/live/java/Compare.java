import java.io.StringReader;
import java.io.StringWriter;
import java.math.BigDecimal;
import java.sql.Array;
import java.sql.BatchUpdateException;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.Date;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.SQLWarning;
import java.sql.Savepoint;
import java.sql.Statement;
import java.util.Arrays;
import java.util.Properties;
import org.postgresql.PGConnection;
import org.postgresql.PGNotification;
import org.postgresql.copy.CopyManager;
import org.postgresql.largeobject.LargeObject;
import org.postgresql.largeobject.LargeObjectManager;

/** What pgjdbc makes of one connection, line by line, so that two connections can be compared. The password is in PGPASSWORD. */
public final class Compare {
    private final Connection connection;

    private Compare(Connection connection) {
        this.connection = connection;
    }

    public static void main(String[] words) throws Exception {
        Properties facts = new Properties();
        facts.setProperty("user", words[1]);
        facts.setProperty("password", System.getenv("PGPASSWORD"));
        for (int i = 2; i < words.length; i++) {
            String[] pair = words[i].split("=", 2);
            facts.setProperty(pair[0], pair[1]);
        }
        try (Connection connection = DriverManager.getConnection(words[0], facts)) {
            Compare compare = new Compare(connection);
            compare.queries();
            compare.threshold();
            compare.batches();
            compare.cursor();
            compare.copies();
            compare.keys();
            compare.metadata();
            compare.errors();
            compare.transactions();
            compare.notices();
            compare.largeObjects();
        }
    }

    private static void say(Object what) {
        System.out.println(what);
    }

    private void show(ResultSet rows) throws SQLException {
        ResultSetMetaData shape = rows.getMetaData();
        StringBuilder line = new StringBuilder();
        for (int i = 1; i <= shape.getColumnCount(); i++) {
            line.append(shape.getColumnLabel(i)).append(':').append(shape.getColumnTypeName(i)).append(':')
                .append(shape.getPrecision(i)).append(':').append(shape.getTableName(i)).append(' ');
        }
        say(line);
        while (rows.next()) {
            line.setLength(0);
            for (int i = 1; i <= shape.getColumnCount(); i++) {
                boolean raw = "bytea".equals(shape.getColumnTypeName(i));
                line.append(raw ? Arrays.toString(rows.getBytes(i)) : rows.getString(i)).append('|');
            }
            say(line);
        }
        rows.close();
    }

    private void queries() throws SQLException {
        try (Statement statement = connection.createStatement()) {
            show(statement.executeQuery("SELECT * FROM shapes ORDER BY i"));
            boolean rows = statement.execute("SELECT 1; UPDATE wards SET beds = beds WHERE id = 1; SELECT 'x' AS y");
            while (rows || statement.getUpdateCount() != -1) {
                if (rows) {
                    show(statement.getResultSet());
                } else {
                    say(statement.getUpdateCount());
                }
                rows = statement.getMoreResults();
            }
        }
    }

    private void threshold() throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement("SELECT ?::int, ?::numeric, ?::text, ?::date, ?, ?::bytea")) {
            for (int i = 0; i < 8; i++) {
                statement.setInt(1, i);
                statement.setBigDecimal(2, new BigDecimal("1.50").multiply(BigDecimal.valueOf(i)));
                statement.setString(3, i % 2 == 0 ? "gr\u00fc\u00df" : null);
                statement.setDate(4, Date.valueOf("2024-02-29"));
                Array array = connection.createArrayOf("int4", new Object[] {1, null, i});
                statement.setArray(5, array);
                statement.setString(6, "\\x00ff0" + i);
                show(statement.executeQuery());
            }
        }
    }

    private void batches() throws SQLException {
        connection.setAutoCommit(false);
        try (PreparedStatement insert = connection.prepareStatement("INSERT INTO wards VALUES (?, ?, ?)")) {
            for (int i = 0; i < 300; i++) {
                insert.setInt(1, 5000 + i);
                insert.setString(2, "batch " + i);
                insert.setInt(3, i);
                insert.addBatch();
            }
            say(insert.executeBatch().length);
            insert.setInt(1, 6000);
            insert.setString(2, "good");
            insert.setInt(3, 1);
            insert.addBatch();
            insert.setInt(1, 6001);
            insert.setString(2, "bad");
            insert.setInt(3, -1);
            insert.addBatch();
            insert.executeBatch();
        } catch (BatchUpdateException error) {
            say(error.getSQLState() + " " + error.getUpdateCounts().length);
        }
        connection.rollback();
        try (Statement statement = connection.createStatement()) {
            statement.addBatch("UPDATE wards SET beds = beds + 1 WHERE id = 1");
            statement.addBatch("UPDATE wards SET beds = beds - 1 WHERE id IN (1, 2)");
            for (int count : statement.executeBatch()) {
                say(count);
            }
        }
        connection.rollback();
        connection.setAutoCommit(true);
    }

    private void cursor() throws SQLException {
        connection.setAutoCommit(false);
        try (PreparedStatement statement = connection.prepareStatement("SELECT n, md5(n::text) FROM generate_series(1, ?) n")) {
            statement.setFetchSize(7);
            statement.setInt(1, 50);
            for (int i = 0; i < 7; i++) {
                show(statement.executeQuery());
            }
            statement.setMaxRows(10);
            show(statement.executeQuery());
        }
        try (Statement scroll = connection.createStatement(ResultSet.TYPE_SCROLL_INSENSITIVE, ResultSet.CONCUR_READ_ONLY)) {
            ResultSet rows = scroll.executeQuery("SELECT id FROM wards ORDER BY id");
            say(rows.last() + " " + rows.getInt(1) + " " + rows.first() + " " + rows.getInt(1));
        }
        connection.commit();
        connection.setAutoCommit(true);
    }

    private void copies() throws Exception {
        CopyManager copy = connection.unwrap(PGConnection.class).getCopyAPI();
        StringWriter out = new StringWriter();
        say(copy.copyOut("COPY (SELECT n, 'row ' || n FROM generate_series(1, 500) n) TO STDOUT WITH (FORMAT csv)", out));
        say(out.toString().hashCode());
        try (Statement statement = connection.createStatement()) {
            statement.execute("CREATE TEMP TABLE copied (n int, t text)");
            say(copy.copyIn("COPY copied FROM STDIN WITH (FORMAT csv)", new StringReader(out.toString())));
            show(statement.executeQuery("SELECT count(*), sum(n) FROM copied"));
            try {
                copy.copyIn("COPY copied FROM STDIN WITH (FORMAT csv)", new StringReader("x,y\n"));
            } catch (SQLException error) {
                say(error.getSQLState());
            }
        }
    }

    private void keys() throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.execute("CREATE TEMP TABLE made (id serial PRIMARY KEY, v text DEFAULT 'd', n int)");
            statement.executeUpdate("INSERT INTO made (n) VALUES (1), (2)", Statement.RETURN_GENERATED_KEYS);
            show(statement.getGeneratedKeys());
            try (PreparedStatement insert = connection.prepareStatement("INSERT INTO made (n) VALUES (?)", new String[] {"id", "v"})) {
                insert.setInt(1, 3);
                insert.executeUpdate();
                show(insert.getGeneratedKeys());
            }
            try (Statement updatable = connection.createStatement(ResultSet.TYPE_SCROLL_SENSITIVE, ResultSet.CONCUR_UPDATABLE)) {
                ResultSet rows = updatable.executeQuery("SELECT id, v, n FROM made ORDER BY id");
                rows.next();
                rows.updateInt("n", 77);
                rows.updateRow();
            }
            show(statement.executeQuery("SELECT * FROM made ORDER BY id"));
        }
    }

    private void metadata() throws SQLException {
        DatabaseMetaData facts = connection.getMetaData();
        say(facts.getDatabaseProductName() + " " + facts.getDatabaseProductVersion() + " " + facts.getMaxConnections());
        show(facts.getSchemas());
        show(facts.getCatalogs());
        show(facts.getTableTypes());
        show(facts.getTables(null, "public", "%", null));
        show(facts.getColumns(null, "public", "%", "%"));
        show(facts.getPrimaryKeys(null, "public", "wards"));
        show(facts.getImportedKeys(null, "public", "encounters"));
        show(facts.getExportedKeys(null, "public", "patients"));
        show(facts.getIndexInfo(null, "public", "wards", false, true));
        show(facts.getProcedures(null, "public", "%"));
        show(facts.getFunctions(null, "public", "%"));
        show(facts.getFunctionColumns(null, "public", "%", "%"));
        show(facts.getTablePrivileges(null, "public", "wards"));
        show(facts.getColumnPrivileges(null, "public", "wards", "%"));
        show(facts.getTypeInfo());
        show(facts.getUDTs(null, "public", "%", null));
        show(facts.getVersionColumns(null, "public", "wards"));
        show(facts.getBestRowIdentifier(null, "public", "wards", DatabaseMetaData.bestRowSession, true));
        show(facts.getClientInfoProperties());
        say(facts.getSQLKeywords());
    }

    private void errors() throws SQLException {
        String[] texts = {"SELECT 1/0", "SELEC", "SELECT * FROM nothere", "INSERT INTO wards VALUES (1, 'x', 1)", "SELECT 'x'::int"};
        for (String text : texts) {
            try (Statement statement = connection.createStatement()) {
                statement.execute(text);
            } catch (SQLException error) {
                say(error.getSQLState() + " " + error.getMessage());
            }
        }
    }

    private void transactions() throws SQLException {
        connection.setAutoCommit(false);
        connection.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
        connection.setReadOnly(false);
        try (Statement statement = connection.createStatement()) {
            statement.executeUpdate("UPDATE wards SET beds = 0 WHERE id = 1");
            Savepoint point = connection.setSavepoint("here");
            try {
                statement.execute("SELECT 1/0");
            } catch (SQLException error) {
                say(error.getSQLState());
            }
            connection.rollback(point);
            show(statement.executeQuery("SELECT beds FROM wards WHERE id = 1"));
            connection.rollback();
            show(statement.executeQuery("SELECT beds FROM wards WHERE id = 1"));
            connection.commit();
        }
        connection.setTransactionIsolation(Connection.TRANSACTION_READ_COMMITTED);
        connection.setAutoCommit(true);
    }

    private void notices() throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.execute("SELECT say('heard')");
            for (SQLWarning warning = statement.getWarnings(); warning != null; warning = warning.getNextWarning()) {
                say(warning.getMessage());
            }
            statement.execute("LISTEN jdbc");
            statement.execute("NOTIFY jdbc, 'payload'");
            for (PGNotification notification : connection.unwrap(PGConnection.class).getNotifications(10000)) {
                say(notification.getName() + " " + notification.getParameter());
            }
        }
        say(connection.isValid(5));
    }

    private void largeObjects() throws SQLException {
        connection.setAutoCommit(false);
        LargeObjectManager manager = connection.unwrap(PGConnection.class).getLargeObjectAPI();
        long oid = manager.createLO(LargeObjectManager.READ | LargeObjectManager.WRITE);
        LargeObject object = manager.open(oid, LargeObjectManager.READ | LargeObjectManager.WRITE);
        object.write(new byte[100000]);
        object.write("end".getBytes());
        object.seek(99998);
        byte[] back = object.read(10);
        say(back.length + " " + new String(back, 2, 3) + " " + object.size());
        object.close();
        manager.delete(oid);
        connection.rollback();
        connection.setAutoCommit(true);
    }
}
