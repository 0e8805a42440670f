"""
Word lists that the invented clinic is drawn from: names, places, departments, diagnoses.

Given and family names are common ones, combined at random; towns and streets are made up.
Diagnosis codes are ICD-10-CM, with the department that sees them.
"""

from __future__ import annotations

WOMEN = (
    "Aaliyah Abigail Adriana Alice Amara Amelia Amina Ana Andrea Anita Anna Beatriz Bridget Camila Carla Carmen "
    "Caroline Charlotte Chloe Clara Claire Daniela Deborah Diana Dolores Eleanor Elena Elizabeth Emily Emma Esther "
    "Eva Evelyn Fatima Fiona Frances Gabriela Grace Hannah Harper Helen Ingrid Irene Isabel Jane Jasmine Joan "
    "Josephine Joy Judith Julia Karen Katherine Keiko Laila Laura Leah Leila Linda Lucia Lucy Lydia Madeline Mai "
    "Margaret Maria Marisol Martha Mary Mei Mercedes Mia Michelle Miriam Monica Nadia Naomi Natalie Nia Nina Nora "
    "Olga Olivia Patricia Paula Penelope Priya Rachel Rebecca Rosa Ruth Samantha Sara Shanice Sofia Sonia Stella "
    "Susan Sylvia Tamara Teresa Thuy Uma Valeria Vera Veronica Victoria Violet Virginia Wanda Xiomara Yara Yolanda Zoe"
).split()

MEN = (
    "Aaron Abdul Adam Ahmed Alan Albert Alejandro Alexander Andre Andrew Anthony Antonio Arjun Arthur Benjamin Brian "
    "Caleb Carlos Charles Christopher Curtis Daniel Darius David Dennis Diego Dmitri Douglas Eduardo Edward Eli "
    "Elijah Emmanuel Enrique Eric Ethan Felix Fernando Francisco Frank Gabriel George Gerald Hassan Hector Henry "
    "Hiroshi Hugo Ian Ibrahim Isaac Ivan Jack Jacob Jamal James Javier Jeremiah Jesse Joel John Jonathan Jorge "
    "Joseph Joshua Juan Julian Kamal Keith Kenji Kevin Kwame Lamar Lawrence Leo Liam Louis Lucas Luis Malik Manuel "
    "Marcus Mark Martin Mateo Matthew Michael Miguel Minh Nathan Nicholas Noah Omar Oscar Patrick Paul Pedro Peter "
    "Philip Rafael Raj Ramon Raymond Ricardo Richard Robert Roger Russell Samuel Sean Sergio Simon Stephen Tariq "
    "Terrence Theodore Thomas Tomas Tyrone Victor Vincent Walter Wei William Xavier Yusuf Zachary"
).split()

FAMILIES = (
    "Abbott Acosta Adams Adeyemi Agarwal Aguilar Ahmed Alexander Ali Allen Alvarez Andersen Anderson Armstrong Avila "
    "Bailey Baker Banerjee Barnes Becker Bell Bennett Bergstrom Bianchi Bishop Blackwell Boateng Bowman Boyd Bradley "
    "Brooks Brown Bryant Burke Burns Butler Byrne Cabrera Calderon Campbell Carlson Carpenter Carter Castillo Castro "
    "Chan Chandra Chang Chavez Chen Choi Christensen Clark Cole Coleman Collins Contreras Cook Cooper Cox Cruz "
    "Cunningham Dang Daniels Davenport Davis Delgado Desai Diaz Dixon Donovan Douglas Doyle Dubois Duncan Eaton "
    "Edwards Ekwueme Elliott Ellis Espinoza Estrada Evans Farrell Ferguson Fernandez Fischer Fitzgerald Flores Ford "
    "Foster Fox Franklin Freeman Fuentes Gallagher Garcia Gardner Garrison Gibson Gill Gomez Gonzalez Goodwin Gordon "
    "Graham Grant Green Greene Griffin Guerrero Gupta Gutierrez Haddad Hale Hall Hamilton Hansen Harper Harris Hart "
    "Hayes Henderson Hernandez Herrera Hicks Hill Ho Hoffman Holland Holmes Howard Huang Hudson Hughes Hussain "
    "Ibarra Ingram Ito Jackson Jacobs James Jenkins Jensen Jimenez Johansson Johnson Jones Jordan Joshi Kaplan Kaur "
    "Kelly Kennedy Khan Kim King Klein Knight Kowalski Kumar Lam Larsen Lawson Le Lee Leonard Lewis Li Lin Lindgren "
    "Liu Long Lopez Lynch MacDonald Malone Manning Marsh Martin Martinez Mason Mathis McCarthy McCoy McDaniel "
    "McKenzie Medina Mehta Mendoza Meyer Miller Mitchell Molina Montgomery Moore Morales Moreno Morgan Morris "
    "Mukherjee Munoz Murphy Murray Myers Nakamura Navarro Nelson Newman Nguyen Nichols Novak Nwosu Obi OBrien Okafor "
    "Olsen Ortiz Osborne Owens Pacheco Palmer Park Parker Patel Patterson Payne Perez Perkins Petersen Pham Phillips "
    "Pierce Popov Porter Powell Price Quinn Ramirez Ramos Rao Reed Reeves Reyes Reynolds Rhodes Rice Richardson "
    "Rivera Roberts Robinson Rodriguez Rogers Rojas Romano Rosenberg Ross Rossi Ruiz Russell Ryan Salazar Sanchez "
    "Sanders Santiago Santos Sato Schmidt Schneider Schultz Schwartz Scott Serrano Shah Shapiro Sharma Shaw Silva "
    "Simmons Singh Smith Snyder Soto Spencer Stein Stevens Stewart Stone Sullivan Suzuki Tan Tanaka Taylor Thomas "
    "Thompson Torres Tran Tucker Turner Valdez Vargas Vasquez Vega Villanueva Wagner Walker Wallace Walsh Wang Ward "
    "Washington Watanabe Watson Weaver Weber Wells West Wheeler White Williams Wilson Wong Wood Wright Wu Yamamoto "
    "Yang Yilmaz Young Zamora Zhang Zimmerman"
).split()

STREETS = (
    "Alder Ashby Aspen Birch Bluff Canal Cedar Chapel Cherry Church Clinton Cottage Creek Dogwood Elm Fairview Ferry "
    "Forest Garden Granite Grove Harbor Hawthorn Hickory Highland Hillcrest Juniper Lakeview Laurel Liberty Linden "
    "Locust Magnolia Maple Meadow Mill Oak Orchard Park Pearl Pine Pleasant Poplar Prospect Quarry Ridge River School "
    "Spring Spruce Summit Sycamore Union Valley Walnut Water Willow"
).split()
KINDS_OF_STREET = ("St", "Ave", "Rd", "Ln", "Ct", "Dr", "Way", "Pl")

#: name, state, ZIP, area code. The towns are made up; ZIPs of 000xx are not delivered to.
TOWNS = (
    ("Harrowgate", "OH", "00011", "419"),
    ("Millbrook Falls", "OH", "00014", "419"),
    ("Eastlake Junction", "OH", "00017", "440"),
    ("Cedar Hollow", "PA", "00021", "814"),
    ("Port Anselm", "PA", "00024", "814"),
    ("New Tarrant", "MI", "00031", "734"),
    ("Saltmarsh", "MI", "00033", "734"),
    ("Wexley", "IN", "00041", "260"),
    ("Two Rivers Crossing", "IN", "00044", "260"),
)

#: name, floor, beds
DEPARTMENTS = (
    ("Emergency", 0, 42),
    ("Cardiology", 3, 36),
    ("Endocrinology", 2, 12),
    ("Family Medicine", 1, 0),
    ("Gastroenterology", 4, 18),
    ("Nephrology", 4, 20),
    ("Neurology", 5, 24),
    ("Obstetrics", 6, 28),
    ("Oncology", 7, 32),
    ("Orthopedics", 3, 26),
    ("Pediatrics", 6, 30),
    ("Psychiatry", 8, 22),
    ("Pulmonology", 5, 16),
)

#: ICD-10-CM code, description, department, what was done, lowest and highest charge
DIAGNOSES = (
    ("I10", "Essential (primary) hypertension", "Family Medicine", "lisinopril 10 mg daily, recheck in 6 weeks", 120, 260),
    ("E11.9", "Type 2 diabetes mellitus without complications", "Endocrinology", "metformin 500 mg twice daily", 180, 420),
    ("E78.5", "Hyperlipidemia, unspecified", "Family Medicine", "atorvastatin 20 mg at night, lipids in 3 months", 110, 240),
    ("E03.9", "Hypothyroidism, unspecified", "Endocrinology", "levothyroxine 50 mcg, TSH in 6 weeks", 140, 300),
    ("J06.9", "Acute upper respiratory infection", "Family Medicine", "fluids and rest, return if fever persists", 90, 180),
    ("J45.909", "Unspecified asthma, uncomplicated", "Pulmonology", "albuterol inhaler refilled, technique reviewed", 150, 520),
    ("J44.9", "Chronic obstructive pulmonary disease", "Pulmonology", "tiotropium started, spirometry ordered", 320, 1900),
    ("J18.9", "Pneumonia, unspecified organism", "Emergency", "chest film, azithromycin, oxygen overnight", 900, 7400),
    ("K21.9", "Gastro-esophageal reflux disease", "Gastroenterology", "omeprazole 20 mg, diet discussed", 130, 380),
    ("K57.30", "Diverticulosis of large intestine", "Gastroenterology", "high-fiber diet, colonoscopy in 5 years", 400, 2600),
    ("M54.50", "Low back pain, unspecified", "Orthopedics", "physical therapy, naproxen as needed", 110, 480),
    ("M17.11", "Unilateral primary osteoarthritis, right knee", "Orthopedics", "intra-articular steroid given", 380, 2100),
    ("S52.501A", "Fracture of lower end of right radius", "Orthopedics", "closed reduction, cast, film in 10 days", 900, 4800),
    ("S06.0X0A", "Concussion without loss of consciousness", "Emergency", "CT negative, head injury sheet given", 1100, 3900),
    ("R07.9", "Chest pain, unspecified", "Emergency", "serial troponins negative, stress test arranged", 1400, 6200),
    ("I48.91", "Unspecified atrial fibrillation", "Cardiology", "rate controlled with metoprolol, apixaban started", 700, 5400),
    ("I50.9", "Heart failure, unspecified", "Cardiology", "furosemide titrated, daily weights taught", 1200, 9800),
    ("I25.10", "Atherosclerotic heart disease", "Cardiology", "aspirin and statin continued, echo reviewed", 480, 3600),
    ("G43.909", "Migraine, unspecified", "Neurology", "sumatriptan as needed, headache diary", 160, 540),
    ("G40.909", "Epilepsy, unspecified", "Neurology", "levetiracetam level checked, no driving", 380, 2700),
    ("N18.31", "Chronic kidney disease, stage 3a", "Nephrology", "creatinine stable, avoid NSAIDs", 240, 900),
    ("N20.0", "Calculus of kidney", "Emergency", "CT stone 4 mm, tamsulosin, strainer given", 1300, 4400),
    ("F32.A", "Depression, unspecified", "Psychiatry", "sertraline 50 mg, therapy referral, PHQ-9 repeated", 160, 420),
    ("F41.1", "Generalized anxiety disorder", "Psychiatry", "CBT begun, no benzodiazepines", 150, 400),
    ("F10.20", "Alcohol dependence, uncomplicated", "Psychiatry", "naltrexone offered, group sessions", 180, 1600),
    ("Z34.90", "Supervision of normal pregnancy", "Obstetrics", "fundal height as expected, next visit in 4 weeks", 140, 360),
    ("O80", "Full-term uncomplicated delivery", "Obstetrics", "mother and infant well, home on day 2", 4200, 11800),
    ("Z00.129", "Routine child health examination", "Pediatrics", "growth on curve, immunizations given", 110, 240),
    ("H66.90", "Otitis media, unspecified", "Pediatrics", "amoxicillin 10 days, ear recheck", 100, 220),
    ("C50.911", "Malignant neoplasm of right female breast", "Oncology", "cycle 3 tolerated, counts adequate", 2400, 18600),
    ("C61", "Malignant neoplasm of prostate", "Oncology", "PSA falling, radiation plan confirmed", 1900, 14800),
    ("Z12.11", "Encounter for screening, colon cancer", "Gastroenterology", "two polyps removed, pathology pending", 900, 2900),
)
