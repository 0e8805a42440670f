import ssl,socket,tempfile,threading
from pathlib import Path
from gateway.certificates import authority, issue, write_pair
from gateway.tls import ServerTls
P=Path(tempfile.mkdtemp()); write_pair(P/"c.pem",P/"k.pem",issue(authority("t"),["localhost"]))
def ask(serve):
    a,b=socket.socketpair(); t=threading.Thread(target=serve,args=(a,)); t.start()
    c=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT); c.check_hostname=False; c.verify_mode=ssl.CERT_NONE
    print(c.wrap_socket(b).cipher()); t.join()
side=ServerTls(P/"c.pem",P/"k.pem")
ask(lambda s:(lambda w:w.do_handshake())(side.wrap(s)))
from twisted.internet import ssl as tssl
from OpenSSL import SSL
o=tssl.PrivateCertificate.loadPEM((P/"c.pem").read_bytes()+(P/"k.pem").read_bytes()).options()
def st(s):
    c=SSL.Connection(o.getContext(),s); c.set_accept_state(); c.do_handshake()
ask(st)
