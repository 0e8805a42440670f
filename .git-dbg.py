import sys, pathlib, tempfile, subprocess
sys.path.insert(0,'/work/wt/ssh')
from tests.sshd import Sshd
from tests.ssh_house import *
from tests.sshlive.test_ssh_jump import Jumper
with tempfile.TemporaryDirectory() as d:
    d=pathlib.Path(d)
    with Sshd(d/'sshd') as s, SshHouse(d/'h', s, workers=1) as h:
        j=Jumper(h,d)
        p=subprocess.Popen(["ssh","-vv","-F",str(j.config()),f"app@{WEB}","echo in"],stdout=subprocess.PIPE,stderr=subprocess.STDOUT)
        try: out,_=p.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            p.kill(); out,_=p.communicate()
        print(out.decode()[-6000:])
        print(h.text()[-3000:])
