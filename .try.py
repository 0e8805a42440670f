import inspect, postgast, time
print(inspect.getsource(postgast.split))
for t in ["SELECT 1;"*80, "select 1", "", ";;", "select ';;'; selec 2; select 3", "create function f() returns int begin atomic select 1; select 2; end; select 3", "select 'x", "-- a;b\nselect 1"]:
    for m in ("scanner","parser"):
        try: print(repr(t[:30]), m, len(postgast.split(t, method=m)))
        except Exception as e: print(repr(t[:30]), m, type(e), e)
big="INSERT INTO t VALUES "+",".join("(1,'a;b;c;d;e')" for _ in range(60000))+"; select 1"
a=time.process_time(); n=len(postgast.split(big, method="scanner")); print(len(big), n, time.process_time()-a)
